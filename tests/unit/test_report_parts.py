"""Parts of the report that are no plot, and the newest plots: numbers, origin, two trials, curves, coordinates."""

from dataclasses import replace

import pytest

from support.reports import GOOD, START, reported, small, spiral
from support.trials import PAPER, repeats, trial
from sweep.records import Setting, Value
from sweep.report.numbers import format_number, join_names
from sweep.report.origin import describe_origin
from sweep.report.page import render_page
from sweep.report.plots.curves import plot_curves
from sweep.report.plots.parallel import MAX_LINES, plot_parallel
from sweep.report.plots.retention import plot_retention
from sweep.report.plots.seeds import plot_seeds
from sweep.report.plots.slices import plot_slices
from sweep.report.sections import build_sweep_section
from sweep.report.side_by_side import MAX_SEARCH_TRIALS, build_side_by_side


@pytest.mark.parametrize(
    ("value", "n_digits", "text"),
    [
        (99.97, 2, "100"),
        (10.0, 4, "10"),
        (0.30000000000000004, 4, "0.3"),
        (12345.678, 4, "12350"),
        (0.00012345, 4, "0.0001234"),
        (2e-5, 4, "2e-05"),
        (0.0, 4, "0"),
        (-1.5, 4, "-1.5"),
        (1048577, 4, "1048577"),
        (True, 4, "True"),
    ],
)
def test_a_number_has_no_power_of_ten_that_it_does_not_need(value: Value, n_digits: int, text: str) -> None:
    """Python's `g` makes 1e+02 of 99.97 with two digits."""
    assert format_number(value, n_digits) == text


def test_names_are_joined() -> None:
    """One, two, three."""
    assert [join_names("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_the_origin_names_date_duration_code_seed_and_machine() -> None:
    """Trials of 90 s and 30 s with an hour between them, in which nothing ran; 1.7e9 s are 14 November 2023."""
    first = trial(0, GOOD, 0.5, started=START, ended=START + 90, worker="node-a:17")
    second = trial(1, PAPER, 0.5, started=START + 3600, ended=START + 3630, worker="node-b:4")
    own = replace(reported(first, second), revisions=["0123456789abcdef+dirty"])
    assert describe_origin(own) == [
        "14 November 2023, 22:13 UTC",
        "trials ran for 2 min 0 s",
        "code 0123456789 with changes",
        "seed 0",
        "on node-a, node-b",
        "1 core a trial",
    ]


def test_the_origin_of_a_sweep_that_has_just_begun() -> None:
    """Nothing ran yet."""
    assert describe_origin(reported()) == ["seed 0", "1 core a trial"]


def test_curves_are_means_over_report_seeds_and_begin_at_the_target() -> None:
    """Forget ES .2 and .4 after the first epoch: mean .3, deviation .1 √2; the target has .9."""
    points = [[{"epoch": 1, "forget/es": forget, "retain/es": 0.5}] for forget in (0.2, 0.4)]
    own = [replace(r, curve=curve) for r, curve in zip(repeats(0, GOOD, 0.1, 0.2), points, strict=True)]
    figure = plot_curves(reported(trial(0, GOOD, 0.1), *own))
    assert figure.title == "“best” ends at forget ES 0.30 and retain ES 0.50, before mixing"
    assert [tuple(row) for row in figure.table.rows] == [
        ("best", "forget ES", 0, 0.9, 0.0, 2),
        ("best", "forget ES", 1, pytest.approx(0.3), pytest.approx(0.02**0.5), 2),
        ("best", "retain ES", 0, 0.95, 0.0, 2),
        ("best", "retain ES", 1, 0.5, 0.0, 2),
    ]


def test_curves_before_the_finalists_are_of_the_search() -> None:
    """And without any there is no plot."""
    curve = [{"epoch": 1.0, "forget/es": 0.25, "retain/es": 0.5}]
    figure = plot_curves(reported(trial(0, GOOD, 0.1, curve=curve)))
    assert figure.note.endswith("One seed.")
    assert ["best", "forget ES", 1, 0.25, 0.0, 1] in figure.table.rows
    assert plot_curves(reported(trial(0, GOOD, 0.1))).plot is None


def test_parallel_coordinates_place_values_on_their_axes() -> None:
    """Beta = √2.5 is the middle of .25 … 10 by logarithms; the lowest score is at the bottom, the highest on top."""
    trials = [trial(0, {"alpha": 5.0, "beta": 2.5**0.5}, 0.2), trial(1, {"alpha": 0.0, "beta": 10.0}, 0.6)]
    figure = plot_parallel(reported(*trials))
    (rows,) = [rows for rows in figure.spec["datasets"].values() if "trial" in rows[0]]
    places = {row["trial"]: [row[f"axis {i}"] for i in range(3)] for row in rows}
    assert places == {0: [1.0, pytest.approx(0.5), 0.0], 1: [0.0, 1.0, 1.0]}
    assert figure.table.rows[0] == (0, 5.0, 2.5**0.5, 0.2)


def test_parallel_coordinates_have_choices_and_a_limit() -> None:
    """Of 250 trials the best 200; false is below true, as in the list of choices."""
    space = {"layer": {"low": 1, "high": 1}, "c": {"low": 1.0, "high": 4.0}, "normalize": {"choices": [False, True]}}
    trials = [trial(i, {"layer": 1, "c": 2.0, "normalize": i % 2 == 1}, 0.1 + i / 1000) for i in range(250)]
    figure = plot_parallel(reported(*trials, objective="rmu", space=space))
    assert figure.title == f"{MAX_LINES} trials across 3 hyper-parameters, the best of 250"
    (rows,) = [rows for rows in figure.spec["datasets"].values() if "trial" in rows[0]]
    assert {(row["trial"] % 2, row["axis 2"]) for row in rows} == {(0, 0.0), (1, 1.0)}


def test_no_parallel_coordinates_of_one_hyper_parameter() -> None:
    """A plot of the score over it says all."""
    one = reported(*spiral(4), space={"alpha": {"low": 0.0, "high": 5.0}}, fixed={"beta": 1.0})
    assert plot_parallel(one).plot is None


def test_slices_mark_the_finalists_means() -> None:
    """Best: .2, .3, .4, so .3 ± .1 at alpha = 2.1; the paper's setting at 1.5; the trial of neither is hidden."""
    alpha, _ = plot_slices(small())
    (rows,) = [rows for rows in alpha.spec["datasets"].values() if "low" in rows[0]]
    assert [(row["which"], row["value"], row["score"], row["low"]) for row in rows] == [
        ("rank 2 = paper (stand-in)", 1.5, pytest.approx(1.4 / 3), pytest.approx(1.4 / 3 - 0.152753, abs=1e-6)),
        ("best", 2.1, pytest.approx(0.3), pytest.approx(0.2)),
    ]


def test_a_title_claims_no_more_than_the_intervals_allow() -> None:
    """Differences of .1, .2 and .2: .1667 ± .1434 leaves out 0; with .1, .2 and -.1 it does not."""
    assert plot_seeds(small()).title == (
        "“best” is better than “rank 2 = paper (stand-in)” over report seeds: +0.167 [+0.023, +0.310]"
    )
    near = reported(
        trial(0, PAPER, 0.5), trial(1, GOOD, 0.2), *repeats(0, PAPER, 0.3, 0.5, 0.3), *repeats(3, GOOD, 0.2, 0.3, 0.4)
    )
    assert plot_seeds(near).title == "“best” and “rank 2 = paper (stand-in)” are tied over report seeds"


def test_a_level_of_retention_is_tied_where_the_interval_contains_0() -> None:
    """At .4 both settings have the same scores on all seeds, at .9 the difference is .1 on each."""
    tuned = repeats(0, PAPER, 1.0, 1.0, **{"score/tau_0.4": 0.1, "score/tau_0.9": 0.3})
    own = repeats(2, GOOD, 0.5, 0.5, **{"score/tau_0.4": 0.1, "score/tau_0.9": 0.2})
    figure = plot_retention(reported(trial(0, PAPER, 0.5), trial(1, GOOD, 0.2), *tuned, *own))
    assert figure.title == "“best” is better at 1, tied at 1 of 2 levels of retention"


def test_two_trials_are_those_of_best_and_paper_on_the_same_seed() -> None:
    """The values of a trial have the order of the names; the failed trial is not there."""
    shown = build_side_by_side(small())
    assert shown is not None
    first, second = (shown.trials[place] for place in shown.chosen)
    assert first.startswith("finalist 3: 0.200, alpha=2.1 beta=6, seed 1")
    assert second.startswith("finalist 0: 0.300, alpha=1.5 beta=7, seed 1")
    assert not any(name.startswith("search 2") for name in shown.trials)
    assert dict(zip(shown.names, shown.values[shown.chosen[0]], strict=False)) | {"alpha": 2.1} == {
        "forget ES at equal retention (the score), lower is better": 0.2,
        "alpha": 2.1,
        "beta": 6.0,
        "seed": 1,
        "forget ES before mixing": 0.25,
        "retain ES before mixing": 0.75,
        "score/tau_0.4": 0.1,
        "score/tau_0.9": 0.2,
        "seconds": 2.0,
    }


def test_two_trials_are_chosen_from_the_best_of_the_search() -> None:
    """One trial has nothing beside it."""
    shown = build_side_by_side(reported(*spiral(MAX_SEARCH_TRIALS + 20)))
    assert shown is not None
    assert (len(shown.trials), shown.n_left_out) == (MAX_SEARCH_TRIALS, 20)
    assert build_side_by_side(reported(trial(0, GOOD, 0.5))) is None


def test_a_long_table_shows_its_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are data, of which the page makes rows when it is asked to."""
    monkeypatch.setattr("sweep.report.page.build_vega_script", str)
    html = render_page([build_sweep_section(reported(*spiral(60)))], [])
    table = html[html.index("All trials (60)") :].partition("</details>")[0]
    assert table.count("<tr>") == 1 + 50
    assert "Show all 60 rows" in table
    assert table.partition('class="rest">')[2].partition("</script>")[0].count('"finished"') == 10


def test_while_nothing_is_decided_the_best_so_far_comes_first() -> None:
    """No report seed yet; the verdict follows."""
    sentence = build_sweep_section(reported(trial(0, PAPER, 0.5), trial(1, GOOD, 0.2))).evidence.sentence
    assert sentence.startswith("Best setting (wtnpo on toy, authors): alpha=2.1 beta=6 leaves 0.200 of the forget rows")
    assert "Undecided beside the paper's setting" in sentence and "it takes 2 report seeds" in sentence


def test_a_value_outside_the_range_has_no_place_on_its_axis() -> None:
    """The paper's beta is 7, the searched range ends at 5: its mean is marked over alpha alone."""
    space = {"alpha": {"low": 0.0, "high": 5.0}, "beta": {"low": 0.25, "high": 5.0, "log": True}}
    own: Setting = {"alpha": 0.5, "beta": 1.0}
    runs = [*repeats(0, PAPER, 0.3, 0.4), *repeats(2, own, 0.2, 0.3)]
    alpha, beta = plot_slices(reported(trial(0, own, 0.2), *runs, space=space))
    marked = [
        [row["which"] for rows in one.spec["datasets"].values() if "low" in rows[0] for row in rows]
        for one in (alpha, beta)
    ]
    assert marked == [["paper (stand-in)", "best"], ["best"]]
