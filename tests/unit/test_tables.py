"""What is printed at the end of a sweep and of several, from hand-made records."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from support import toys
from support.trials import PAPER, races, repeats, sweep_of, trial
from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.results.console_tables import render_comparison, render_sweep
from sweep.results.sweep_records import SweepRecords

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
    """What a terminal of 80 columns shows."""
    console = Console(width=80, soft_wrap=True)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def cells(text: str) -> list[list[str]]:
    """Cells of the lines of tables."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]


def test_the_best_beside_the_stand_in(config: SweepConfig) -> None:
    """Mean scores of both over report seeds, what is not the paper's, the word tied; a missing metric is a dash."""
    text = shown(render_sweep(sweep_of(config, RECORDS)))
    lines = cells(text)
    assert ["alpha", "0.3", "1.5"] in lines
    assert ["beta", "2", "7"] in lines
    assert ["measured on", "2 report seeds", "2 report seeds"] in lines
    assert ["forget ES", "-", "-"] in lines
    assert ["score", "0.250", "0.625"] in lines
    assert "paper, forget10" in text
    assert "(stand-in, other recipe)" in text
    assert "0.625 ± 0.177 (2)" in text  # sd of .5 and .75: .25 / sqrt(2)
    assert "tied" in text


def test_before_the_report_a_search_trial_stands_for_its_setting(config: SweepConfig) -> None:
    """Its own metrics, and its number, since another trial's are of another seed."""
    lines = cells(shown(render_sweep(sweep_of(config, RECORDS[:2]))))
    assert ["measured on", "trial 1 alone", "trial 0 alone"] in lines
    assert ["forget ES", "-", "0.250"] in lines
    assert ["mix", "1.000", "0.500"] in lines


def test_the_verdict_is_the_last_thing_that_is_read(config: SweepConfig) -> None:
    """Gaps .25 and .5: .375 ± 12.7062 · .125; an objective that the paper did not tune has no such line."""
    last = shown(render_sweep(sweep_of(config, RECORDS))).splitlines()[-1]
    assert last == (
        "wtnpo on toy, forget10 (stand-in, other recipe): within noise: alpha=0.3 beta=2 scores 0.375 lower"
        " [-1.213, 1.963] than the tuned alpha=1.5 beta=7 over 2 seeds; differences below 1.588 cannot be told from 0."
    )
    assert "└" in shown(render_sweep(sweep_of(config.model_copy(update={"objective": "ga"}), RECORDS))).splitlines()[-1]


def test_the_race_says_who_left(tmp_path: Path) -> None:
    """Means .625 and .375 over two seeds, gaps alike: the search's best is behind by .25, and the other has won."""
    config = toys.config(tmp_path, search={"race": 4})
    third: Setting = {"alpha": 1.0, "beta": 1.0}
    raced = races(config, BEST, 0.75, 0.5) + races(config, third, 0.5, 0.25, first=2)
    lines = cells(shown(render_sweep(sweep_of(config, [*RECORDS, trial(9, third, 0.375), *raced]))))
    assert ["best", "alpha=1", "0.375 ± 0.177 (2)", "", "won"] in lines
    assert [line[0] for line in lines].index("best") < [line[0] for line in lines].index("rank 1")
    assert next(line for line in lines if line[0] == "rank 1")[3:] == ["+0.250", "behind after"]


def test_nothing_finished(config: SweepConfig) -> None:
    """One sentence."""
    failed = trial(0, PAPER, 0.0, state="failed", metrics={})
    assert shown(render_sweep(sweep_of(config, [failed]))) == "No trial finished.\n"


def compared(config: SweepConfig, *others: Sequence[TrialRecord]) -> list[str]:
    """Lines of a comparison of the sweep with GA's of these records."""
    ga = config.model_copy(update={"objective": "ga"})
    sweeps = [SweepRecords(name=str(i), config=ga, records=records) for i, records in enumerate(others)]
    return shown(render_comparison([SweepRecords(name="mine", config=config, records=RECORDS), *sweeps])).splitlines()


def test_several_sweeps(config: SweepConfig) -> None:
    """GA's gaps above it are .25 and .75: t = 2, p = .295; nobody wins; then come the verdicts, of GA none."""
    lines = compared(config, [trial(0, BEST, 0.1), *repeats(0, BEST, 0.5, 1.0)])
    assert lines[0] == "toy, authors: mean ± std on report seeds"
    assert max(len(line) for line in lines[:-1]) <= 80
    assert ["wtnpo + kl", "0.250", "-", "-", "tied", "within"] in cells("\n".join(lines))
    assert ["ga + kl", "0.750", "-", "-", "+0.500", ""] in cells("\n".join(lines))
    assert ["beta=2", "", "", "", "tied, p=0.295", ""] in cells("\n".join(lines))
    assert lines[-2] == "toy, authors: nobody wins; tied: wtnpo + kl, ga + kl."
    assert lines[-1].startswith("wtnpo on toy, forget10 (stand-in, other recipe): within noise: ")


def test_a_winner_is_named(config: SweepConfig) -> None:
    """GA's scores are lower by .125 both times: no spread, no doubt."""
    lines = compared(config, [trial(0, BEST, 0.1), *repeats(0, BEST, 0.125, 0.125)])
    assert lines[-2] == "toy, authors: ga + kl wins."


def test_without_report_seeds_the_search_is_shown(config: SweepConfig) -> None:
    """Called so, one seed without a spread, and the reason why nobody wins."""
    bare = config.model_copy(update={"seeds": 0})
    sweeps = [SweepRecords(name=name, config=bare, records=[trial(0, BEST, 0.125)]) for name in ("a", "b")]
    lines = shown(render_comparison(sweeps)).splitlines()
    assert lines[0] == "toy, authors: mean ± std on search seeds"
    assert ["wtnpo + kl", "0.125", "-", "-", ""] in [row[:5] for row in cells("\n".join(lines))]
    assert any(line.startswith("toy, authors: nothing is compared without report seeds (seeds=0)") for line in lines)


def test_nothing_to_compare(config: SweepConfig) -> None:
    """A sweep without repeats."""
    assert "toy, authors: nothing to compare yet." in compared(config, [])
