"""What is printed at the end of a sweep and of several, from hand-made records."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import RenderableType

from support import toys
from support.trials import PAPER, races, repeats, sides, sweep_of, trial
from sweep.config.schema import SweepConfig
from sweep.outputs import format_result, print_result
from sweep.records import Setting, TrialRecord
from sweep.results.console_tables import render_comparison, render_sweep
from sweep.results.notes import warn_of_few_rows
from sweep.results.sentences import describe_race, list_warnings
from sweep.results.sweep_records import SweepRecords
from sweep.results.target_check import warn_of_weak_target

BEST: Setting = {"alpha": 0.1 + 0.2, "beta": 2}
RECORDS = (
    trial(0, PAPER, 0.5, metrics={"score": 0.5, "mix": 0.5, "forget/es": 0.25}),
    trial(1, BEST, 0.25, metrics={"score": 0.25, "mix": 1.0}),
    *repeats(0, PAPER, 0.5, 0.75),
    *repeats(2, BEST, 0.25, 0.25),
)


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """The toy sweep of WTNPO."""
    return toys.config(tmp_path, seeds=2)


def shown(what: RenderableType) -> str:
    """What a pipe gets."""
    return format_result(what)


def cells(text: str) -> list[list[str]]:
    """Cells of the lines of tables, but for empty ones."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


def test_the_best_beside_the_stand_in(config: SweepConfig) -> None:
    """Mean scores of both over report seeds, their difference, the word tied, what is not the paper's, the target."""
    target = sides(0.75, 0.5)
    text = shown(render_sweep(sweep_of(config, RECORDS), target))
    lines = cells(text)
    assert ["alpha", "0.3", "1.5"] in lines
    assert ["beta", "2", "7"] in lines
    assert ["measured on", "2 report seeds", "2 report seeds"] in lines
    # sd of .5 and .75: .25 / sqrt(2); gaps .25 and .5: .375 ± 12.7062 · .125
    assert ["forget ES at equal retention", "0.250 ± 0.000", "0.625 ± 0.177", "0.750"] in lines
    assert ["difference to the best,", "+0.375"] in lines
    assert ["95 % interval", "[-1.213, +1.963]"] in lines
    assert ["result", "tied", "tied"] in lines
    assert ["forget ES before mixing", "-", "-", "0.750"] in lines
    assert ["(stand-in,"] in lines and ["best", "other recipe)", "target"] in lines
    assert not any("mix (" in line[0] for line in lines)  # nobody has one
    assert max(len(line) for line in text.splitlines()[1:]) <= 80


def test_before_the_report_a_search_trial_stands_for_its_setting(config: SweepConfig) -> None:
    """Its own metrics, and its number, since another trial's are of another seed."""
    text = shown(render_sweep(sweep_of(config, RECORDS[:2])))
    assert ["measured on", "trial 1 alone", "trial 0 alone"] in cells(text)
    assert ["forget ES before mixing", "-", "0.250"] in cells(text)
    assert ["mix (share of the unlearned", "1.000", "0.500"] in cells(text)
    assert text.startswith(
        "Best setting (wtnpo on toy, authors): alpha=0.3 beta=2 leaves 0.250 of the forget rows extractable at 95 % of"
        " retention (search trial 1 alone). Undecided beside the paper's setting (wtnpo on toy, forget10; "
    )


def test_the_verdict_is_the_first_thing_that_is_read(config: SweepConfig) -> None:
    """In one line; an objective that the paper did not tune has its best there, with mean and spread."""
    first, empty, *_ = shown(render_sweep(sweep_of(config, RECORDS))).splitlines()
    assert empty == ""
    assert first == (
        "Within noise of the paper's setting (wtnpo on toy, forget10; stand-in, other recipe): alpha=0.3 beta=2 leaves"
        " 0.250 of the forget rows extractable at 95 % of retention, against 0.625 with alpha=1.5 beta=7 (difference"
        " -0.375, 95 % interval [-1.963, +1.213], 2 seeds); differences below 1.588 cannot be told from 0."
    )
    assert shown(render_sweep(sweep_of(config.model_copy(update={"objective": "ga"}), RECORDS))).startswith(
        "Best setting (ga on toy, authors): alpha=0.3 beta=2 leaves 0.250 ± 0.000 of the forget rows extractable at"
        " 95 % of retention (2 report seeds).\n\nga on toy, authors\n"
    )


def test_a_terminal_breaks_sentences_between_words(
    config: SweepConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 60 columns no line is longer; a pipe gets one line."""
    monkeypatch.setenv("COLUMNS", "60")
    result = render_sweep(sweep_of(config, RECORDS))
    print_result(result)
    assert len(capsys.readouterr().out.splitlines()[0]) > 60
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    print_result(result)
    lines = capsys.readouterr().out.splitlines()[:6]
    assert max(map(len, lines)) <= 60
    assert lines[-1] == "cannot be told from 0."


def test_the_race_is_a_sentence(tmp_path: Path) -> None:
    """Means .625 and .375 over two seeds, gaps alike: the search's best is behind by .25, and the other has won."""
    config = toys.config(tmp_path, search={"race": 4})
    third: Setting = {"alpha": 1.0, "beta": 1.0}
    raced = races(config, BEST, 0.75, 0.5) + races(config, third, 0.5, 0.25, first=2)
    won = sweep_of(config, [*RECORDS, trial(9, third, 0.375), *raced])
    assert describe_race(won) == "2 settings raced over 2 seeds: the best is ahead of all others."
    raced = races(config, BEST, 0.75, 0.25) + races(config, third, 0.5, 0.75, first=2)
    tied = sweep_of(config, [*RECORDS, trial(9, third, 0.375), *raced])
    assert describe_race(tied) == "2 settings raced over 2 seeds: 1 is tied with the best: alpha=1 beta=1 (0.625)."
    assert describe_race(sweep_of(config, RECORDS)) == ""
    assert describe_race(tied) in shown(render_sweep(tied)).splitlines()


def hints(config: SweepConfig, setting: Setting, **metrics: float) -> list[str]:
    """What is said of a best setting."""
    records = [trial(1, setting, 0.25), *repeats(0, setting, 0.25, 0.25, **metrics)]
    return list_warnings(sweep_of(config, records), {}, None)


def test_an_end_of_a_range_is_told_where_the_objective_goes_further(config: SweepConfig) -> None:
    """Alpha from 0 to 5 may be higher but not lower; beta from .25 to 10, on a log scale, may be both."""
    assert hints(config, {"alpha": 0.0, "beta": 2.0}) == []
    assert hints(config, {"alpha": 4.95, "beta": 2.0}) == [
        "the best alpha = 4.95 of wtnpo lies at the high end of its range (0 to 5): a higher space.alpha.high may find"
        " a better setting"
    ]
    low, high = (hints(config, {"alpha": 2.0, "beta": beta}) for beta in (0.25, 10.0))
    assert "a lower space.beta.low may find" in low[0]
    assert "a higher space.beta.high may find" in high[0]
    assert hints(config, {"alpha": 4.8, "beta": 0.3}) == []  # .04 and ln(1.2) / ln(40) = .049 from the ends


def test_a_mix_of_almost_nothing_is_told(config: SweepConfig) -> None:
    """Below an eighth; and what the target and the rows lack, each in a sentence after the table."""
    assert hints(config, BEST, mix=0.25) == []
    (said,) = hints(config, BEST, mix=0.0625)
    assert said.startswith("only a mix of 0.062 of the weights that wtnpo unlearned keeps 95 % of retention: ")
    shown_notes = shown(render_sweep(sweep_of(config, RECORDS), sides(0.2, 0.25), 8)).splitlines()[-2:]
    assert shown_notes == [f"note: {warn_of_few_rows(0.95, 8)}.", f"note: {warn_of_weak_target(sides(0.2, 0.25))}"]


def test_a_training_that_changes_little_is_told(config: SweepConfig) -> None:
    """Nothing was mixed back, and more than .9 of the target's forget ES of .75 is left: .69 is, .65 is not."""

    def told(score: float, mix: float) -> list[str]:
        own = sweep_of(config, [trial(1, BEST, score), *repeats(0, BEST, score, score, mix=mix)])
        return list_warnings(own, sides(0.75, 0.8), None)

    (said,) = told(0.69, 1.0)
    assert said.startswith("the best setting of wtnpo leaves forget ES at 0.690 of the target's 0.750, though nothing")
    assert told(0.65, 1.0) == told(0.69, 0.75) == []


def test_nothing_finished(config: SweepConfig) -> None:
    """One sentence."""
    failed = trial(0, PAPER, 0.0, state="failed", metrics={})
    assert shown(render_sweep(sweep_of(config, [failed]))) == "No trial finished."


def compared(config: SweepConfig, *others: Sequence[TrialRecord]) -> list[str]:
    """Lines of a comparison of the sweep with GA's of these records."""
    ga = config.model_copy(update={"objective": "ga"})
    sweeps = [SweepRecords(name=str(i), config=ga, records=records) for i, records in enumerate(others)]
    return shown(render_comparison([SweepRecords(name="mine", config=config, records=RECORDS), *sweeps])).splitlines()


def test_several_sweeps(config: SweepConfig) -> None:
    """GA's gaps above it are .25 and .75: t = 2, p = .295; none is best alone; verdicts on the paper's end it."""
    lines = compared(config, [trial(0, BEST, 0.1), *repeats(0, BEST, 0.5, 1.0)])
    assert lines[0] == "toy, authors: none is best alone; tied: wtnpo + kl, ga + kl."
    assert lines[2] == "toy, authors: mean ± std on report seeds"
    assert max(len(line) for line in lines[:-1]) <= 80
    assert ["wtnpo + kl", "0.250", "-", "-", "tied"] in cells("\n".join(lines))
    assert ["ga + kl", "0.750", "-", "-", "+0.500", "tied"] in cells("\n".join(lines))
    assert ["beta=2", "p=0.295"] in cells("\n".join(lines))
    assert lines[-1].startswith(
        "Within noise of the paper's setting (wtnpo on toy, forget10; stand-in, other recipe): "
    )


def test_a_winner_is_named_and_stands_first(config: SweepConfig) -> None:
    """GA's scores are lower by .125 both times: no spread, no doubt."""
    lines = compared(config, [trial(0, BEST, 0.1), *repeats(0, BEST, 0.125, 0.125)])
    assert lines[0] == "toy, authors: ga + kl is best, ahead of all others, with a score of 0.125."
    rows = [row for row in cells("\n".join(lines)) if row[0].endswith(" + kl")]
    assert rows == [["ga + kl", "0.125", "-", "-", "best"], ["wtnpo + kl", "0.250", "-", "-", "+0.125", "worse"]]


def test_without_report_seeds_the_search_is_shown(config: SweepConfig) -> None:
    """Called so, one seed without a spread, and the reason why nobody is best; no verdict on the paper's follows."""
    bare = config.model_copy(update={"seeds": 0})
    sweeps = [SweepRecords(name=name, config=bare, records=[trial(0, BEST, 0.125)]) for name in ("a", "b")]
    lines = shown(render_comparison(sweeps)).splitlines()
    assert lines[0].startswith("toy, authors: nothing is compared without report seeds (seeds=0)")
    assert lines[2] == "toy, authors: mean ± std on search seeds"
    assert ["wtnpo + kl", "0.125", "-", "-"] in cells("\n".join(lines))
    assert lines[-1].startswith("p is corrected")


def test_a_setting_without_values_takes_no_line(config: SweepConfig) -> None:
    """The objective's name stands alone, and the next row follows after one blank line."""
    bare = config.model_copy(update={"seeds": 0, "objective": "ga", "space": {}})
    sweeps = [SweepRecords(name=name, config=bare, records=[trial(0, {}, 0.125)]) for name in ("a", "b")]
    lines = [line.strip() for line in shown(render_comparison(sweeps)).splitlines()]
    first, second = (place for place, line in enumerate(lines) if line.startswith("ga + kl"))
    assert second == first + 2


def test_warnings_of_a_comparison_end_it_once_each(config: SweepConfig) -> None:
    """Two sweeps of the same weak target are one sentence."""
    sweeps = [SweepRecords(name=name, config=config, records=RECORDS) for name in ("a", "b")]
    lines = shown(render_comparison(sweeps, ["it is weak.", "it is weak.", "beta lies at an end"])).splitlines()
    assert lines[-2:] == ["note: it is weak.", "note: beta lies at an end."]


def test_nothing_to_compare(config: SweepConfig) -> None:
    """A sweep without repeats."""
    assert "toy, authors: nothing to compare yet." in compared(config, [])
