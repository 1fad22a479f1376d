"""What the plots of a report show, against numbers worked out by hand."""

import math
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from support.reports import START, reported, spiral
from support.trials import PAPER, repeats, sweep_of, trial
from sweep.records import Setting, TrialRecord
from sweep.report import theme
from sweep.report.data import ReportData
from sweep.report.figure import Figure
from sweep.report.highlights import find_highlights
from sweep.report.plots.history import plot_history
from sweep.report.plots.importance import compute_importances, compute_intervals, name_leader, plot_importance
from sweep.report.plots.parameter import find_range_parameters
from sweep.report.plots.retention import plot_retention
from sweep.report.plots.seeds import plot_seeds
from sweep.report.plots.slices import plot_slices
from sweep.report.plots.surface import N_CELLS, fit_surface, plot_surfaces
from sweep.report.plots.timeline import plot_timeline
from sweep.report.plots.tradeoff import ES_COLUMNS, plot_tradeoff
from sweep.report.sections import plot_sweep
from sweep.results.statistics import find_pareto_front

GOOD: Setting = {"alpha": 0.5, "beta": 1.0}
NEXT: Setting = {"alpha": 1.0, "beta": 2.0}


def sides(index: int, forget: float, retain: float) -> TrialRecord:
    """A trial of which only these two are known, and a score."""
    metrics = {"score": 0.5, "forget/es": forget, "retain/es": retain}
    return trial(index, {"alpha": index / 100, "beta": 1.0}, 0.5, metrics=metrics)


def layer(figure: Figure, mark: str) -> list[dict[str, Any]]:
    """The data of the first layer that draws such marks."""
    spec = figure.spec
    found = next(one for one in spec["layer"] if one["mark"]["type"] == mark)
    rows: list[dict[str, Any]] = (
        found["data"]["values"] if "values" in found["data"] else spec["datasets"][found["data"]["name"]]
    )
    return rows


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_nothing_on_the_front_is_beaten(places: list[tuple[int, int]]) -> None:
    """And all that is not on it is beaten, or is the same as what is."""
    trials = [sides(i, forget, retain) for i, (forget, retain) in enumerate(places)]
    front = [(r.metrics["forget/es"], r.metrics["retain/es"]) for r in find_pareto_front(trials)]

    def beaten(forget: float, retain: float) -> bool:
        return any(f <= forget and r >= retain and (f, r) != (forget, retain) for f, r in places)

    assert sorted(front) == sorted({place for place in places if not beaten(*place)})
    assert front == sorted(front)


def test_the_tradeoff_marks_best_paper_and_target() -> None:
    """Of the three trials the first two are on the front; the target's score is its own forget ES, (.9 + .5) / 2."""
    trials = [sides(0, 0.1, 0.5), sides(1, 0.2, 0.8), sides(2, 0.3, 0.7)]
    metrics = {"score": 0.4, "forget/es": 0.6, "retain/es": 0.9}
    figure = plot_tradeoff(reported(*trials, trial(3, PAPER, 0.4, metrics=metrics)))
    assert figure.title.startswith("3 of 4 trials")
    assert [row["trial"] for row in layer(figure, "line")] == [0, 1, 3]
    marks = {row["which"]: (*(row[key] for key in ES_COLUMNS), row["score"]) for row in layer(figure, "point")}
    assert marks == {
        "best = paper (stand-in)": (0.6, 0.9, 0.4),
        "runner-up": (0.1, 0.5, 0.5),
        "target": (0.9, 0.95, pytest.approx(0.7)),
    }
    assert "target: forget ES 0.900, retain ES 0.950." in figure.alt


def test_without_its_metrics_the_target_is_not_marked_and_the_note_says_so() -> None:
    """The artifact may be gone."""
    figure = plot_tradeoff(replace(reported(sides(0, 0.1, 0.5)), target_metrics={}))
    assert [row["which"] for row in layer(figure, "point")] == ["best"]
    assert "The target is not marked" in figure.note


def test_roles() -> None:
    """The runner-up is the next other setting; a trial that failed has no role."""
    trials = [trial(0, PAPER, 0.6), trial(1, GOOD, 0.2), trial(2, GOOD, 0.3), trial(3, NEXT, 0.4)]
    failed = replace(trial(4, {"alpha": 0.0, "beta": 1.0}, 0.0), state="failed")
    found = find_highlights(sweep_of(reported().config, [*trials, failed]))
    assert [(role.label, role.record.index) for role in found] == [
        ("best", 1),
        ("runner-up", 3),
        ("paper (stand-in)", 0),
    ]


def test_retention_is_the_mean_over_seeds() -> None:
    """GOOD .1 and .3 at τ = .5: mean .2, standard deviation .1 √2; the paper's .15 is lower there, and higher at .9."""
    levels = [{"score": s, "score/tau_0.5": s, "score/tau_0.9": 0.4} for s in (0.1, 0.3)]
    own = [replace(r, metrics=m) for r, m in zip(repeats(3, GOOD, 0.1, 0.3), levels, strict=True)]
    tuned = repeats(0, PAPER, 0.5, 0.5, **{"score/tau_0.5": 0.15, "score/tau_0.9": 0.6})
    figure = plot_retention(reported(trial(0, PAPER, 0.5), trial(1, GOOD, 0.2), *tuned, *own))
    rows = {(which, tau): (mean, std, count) for which, tau, mean, std, count in figure.table.rows}
    assert list(rows["best", 0.5]) == [pytest.approx(0.2), pytest.approx(0.1 * math.sqrt(2)), 2]
    assert list(rows["rank 2 = paper (stand-in)", 0.9]) == [pytest.approx(0.6), 0.0, 2]
    assert figure.title == "“best” is better at 1, tied at 1 of 2 levels of retention"


def test_retention_before_the_finalists_is_of_the_spiral() -> None:
    """One seed, and the note says so."""
    figure = plot_retention(reported(trial(0, GOOD, 0.2, metrics={"score": 0.2, "score/tau_0.9": 0.1})))
    assert [list(row) for row in figure.table.rows] == [["best", 0.9, 0.1, 0.0, 1]]
    assert figure.note.endswith("One seed.")


def test_seeds() -> None:
    """Lowest mean first; ± is the standard deviation, .1 of .1, .2, .3, and the bar reaches from .1 to .3."""
    figure = plot_seeds(
        reported(trial(0, PAPER, 0.5), trial(1, GOOD, 0.2), *repeats(0, PAPER, 0.5), *repeats(1, GOOD, 0.1, 0.2, 0.3))
    )
    assert figure.title == "“best” and “rank 2 = paper (stand-in)” are tied over report seeds"
    bars = [(row["which"], row["low"], row["high"]) for row in layer(figure, "rule")]
    assert bars == [("best", pytest.approx(0.1), pytest.approx(0.3)), ("rank 2 = paper (stand-in)", 0.5, 0.5)]
    assert len(figure.table.rows) == 4


def test_slices_have_the_scale_of_the_space() -> None:
    """Beta is searched by its logarithm; of eight trials the best quarter has alpha .3125 and .9375."""
    alpha, beta = plot_slices(reported(*spiral(8)))
    assert alpha.title == "The best 2 trials have alpha between 0.31 and 0.94"
    kinds = [figure.spec["layer"][0]["encoding"]["x"]["scale"]["type"] for figure in (alpha, beta)]
    assert kinds == ["linear", "log"]


def test_a_slice_over_choices() -> None:
    """True and false are no numbers."""
    space = {"layer": {"low": 1, "high": 1}, "c": {"low": 1.0, "high": 4.0}, "normalize": {"choices": [True, False]}}
    settings: list[Setting] = [{"layer": 1, "c": 2.0, "normalize": i % 2 == 0} for i in range(8)]
    trials = [trial(i, setting, 0.1 * i) for i, setting in enumerate(settings)]
    figure = plot_slices(reported(*trials, objective="rmu", space=space))[2]
    assert figure.title == "The best 2 trials have normalize at False, True"
    assert figure.spec["layer"][0]["encoding"]["x"]["type"] == "nominal"


def test_places_in_a_range() -> None:
    """The middle of 0.25 … 10 by logarithms is √2.5; alpha's from 0 to 5 is 2.5."""
    both = find_range_parameters(reported().config)
    assert both["beta"].from_fraction(0.5) == pytest.approx(math.sqrt(2.5))
    assert both["alpha"].from_fraction(0.5) == 2.5
    assert both["beta"].to_fraction(10.0) == pytest.approx(1.0)


@given(st.floats(0, 1), st.sampled_from(["alpha", "beta"]))
def test_a_place_and_its_value_are_one(place: float, name: str) -> None:
    """There and back."""
    one = find_range_parameters(reported().config)[name]
    assert one.to_fraction(one.from_fraction(place)) == pytest.approx(place, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=4, max_size=12, unique=True),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_a_plane_is_its_own_surface(places: list[tuple[float, float]], a: float, b: float) -> None:
    """Thin plates bend for no plane; where the trials end, so does the surface."""
    spread = [(0.1, 0.1), (0.9, 0.15), (0.5, 0.8), *places]
    surface = fit_surface(spread, [a * x + b * y for x, y in spread])
    middles = (np.arange(N_CELLS) + 0.5) / N_CELLS
    plane = a * middles[None, :] + b * middles[:, None]
    inside = np.isfinite(surface)
    assert np.allclose(surface[inside], plane[inside], atol=1e-6)
    assert inside.mean() == pytest.approx(ConvexHull(spread).volume, abs=0.05)


def test_trials_on_a_line_span_no_surface() -> None:
    """Nor do two."""
    assert np.isnan(fit_surface([(0.1, 0.1), (0.5, 0.5), (0.9, 0.9)], [0.1, 0.2, 0.3])).all()
    (figure,) = plot_surfaces(reported(*spiral(2)))
    assert figure.plot is None
    assert figure.title == "No three trials span a surface over alpha and beta yet"


def test_the_bands_are_the_surface() -> None:
    """The score is 0.1 + alpha / 10: each rectangle's is that of its middle, to half a band of the whole range."""
    (figure,) = plot_surfaces(reported(*spiral(20)))
    rows = layer(figure, "rect")
    reach = (max(row["score"] for row in rows) - min(row["score"] for row in rows)) / 9
    for row in rows:
        middle = 0.1 + (row["x"] + row["x2"]) / 20
        assert abs(row["score"] - middle) < reach
    assert "alpha=0." in figure.title


def test_importances_of_a_score_that_only_alpha_moves() -> None:
    """They sum to 1 and are the same each time."""
    shares = compute_importances(reported(*spiral(24)))
    assert list(shares) == ["alpha", "beta"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["alpha"] > 0.9
    assert compute_importances(reported(*spiral(24))) == shares


def test_a_leader_is_named_with_its_interval() -> None:
    """The score is a step in alpha: every tree splits there once and never again, so that each share is exactly 1."""
    trials = [replace(r, metrics={"score": float(i >= 12)}) for i, r in enumerate(spiral(24))]
    figure = plot_importance(reported(*trials))
    assert figure.title == "alpha explains 100% [100, 100] of the score's variance"
    assert figure.table.rows == [("alpha", 1.0, 1.0, 1.0), ("beta", 0.0, 0.0, 0.0)]
    (drawn,) = figure.spec["datasets"].values()
    assert [(row["from"], row["to"]) for row in drawn] == [(1.0, 1.0), (0.0, 0.0)]


def test_no_leader_where_intervals_overlap() -> None:
    """On a 4 × 4 grid both matter alike: the truth, 1/2 each, lies in both intervals, which are the same each time."""
    places = [(alpha, beta) for alpha in range(4) for beta in range(4)]
    trials = [trial(i, {"alpha": a + 0.5, "beta": 1.0 + 2 * b}, (a + b) / 10) for i, (a, b) in enumerate(places)]
    sweep = reported(*trials, space={name: {"low": 0.0, "high": 8.0} for name in ("alpha", "beta")})
    figure, ends = plot_importance(sweep), compute_intervals(sweep)
    assert figure.title in {
        f"16 trials are too few to tell the importances of {one} and {other} apart"
        for one, other in (("alpha", "beta"), ("beta", "alpha"))
    }
    assert all(low < 0.5 < high for low, high in ends.values())
    assert [row[2:] for row in figure.table.rows] == [ends[str(row[0])] for row in figure.table.rows]


def test_only_what_overlaps_the_leader_is_named() -> None:
    """With .5 to .7 against .2 to .5 and .1 to .3, two are alike and the third is not."""
    texts = {"a": "60% [50, 70]", "b": "30% [20, 50]", "c": "10% [10, 30]"}
    found = name_leader(texts, {"a": (0.5, 0.7), "b": (0.2, 0.5), "c": (0.1, 0.3)}, 24)
    assert found == "24 trials are too few to tell the importances of a and b apart"
    found = name_leader(texts, {"a": (0.51, 0.7), "b": (0.2, 0.5), "c": (0.1, 0.3)}, 24)
    assert found == "a explains 60% [50, 70] of the score's variance"


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        (reported(*spiral(7)), "7 trials have a score, and it takes 8"),
        (reported(*spiral(9), space={"alpha": {"low": 0.0, "high": 5.0}}, fixed={"beta": 1.0}), "fewer than two"),
        (reported(*(replace(r, metrics={"score": 0.5}) for r in spiral(9))), "all scores are equal"),
    ],
)
def test_no_importances(sweep: ReportData, says: str) -> None:
    """And the title says why."""
    figure = plot_importance(sweep)
    assert figure.plot is None
    assert says in figure.title


def test_history() -> None:
    """The best so far never rises; a trial that failed is a cross, one that runs is not there."""
    trials = [trial(0, PAPER, 0.5), trial(1, GOOD, 0.7), trial(3, NEXT, 0.2)]
    failed = replace(trial(2, GOOD, 0.0), state="failed", metrics={}, reason="it broke")
    running = replace(trial(4, GOOD, 0.0), state="running", metrics={})
    figure = plot_history(reported(*trials, failed, running))
    assert figure.title == "The lowest score of the search, 0.200, came with trial 3 of 4"
    assert [(row[0], row[3]) for row in figure.table.rows] == [(0, 0.5), (1, 0.5), (3, 0.2)]
    assert [(row["trial"], row["reason"]) for row in layer(figure, "text")] == [(2, "it broke")]


def test_timeline() -> None:
    """In minutes, since there are two; what runs reaches as far as anything is known; who died has no worker."""
    ran = trial(0, PAPER, 0.5, started=START, ended=START + 90, worker="a:1")
    worst = replace(ran, index=1, started=START + 90, ended=START + 150, reason="diverged")
    failed = replace(ran, index=2, state="failed", started=START + 30, ended=START + 60, worker="", reason="died")
    running = replace(ran, index=3, state="running", started=START + 120, ended=0.0, worker="b:2")
    again = replace(ran, index=0, phase="finalist", started=START + 150, ended=START + 180)
    figure = plot_timeline(reported(ran, worst, failed, running, again))
    assert figure.title == "5 trials on 3 workers: 1 worst score, 1 failed"
    assert [(row["kind"], row["trial"], row["worker"], row["start"], row["end"]) for row in layer(figure, "bar")] == [
        ("search", 0, "a:1", 0.0, 1.5),
        ("failed", 2, "unknown", 0.5, 1.0),
        ("worst score", 1, "a:1", 1.5, 2.5),
        ("running", 3, "b:2", 2.0, 3.0),
        ("finalist", 0, "a:1", 2.5, 3.0),
    ]
    assert [row["kind"] for row in layer(figure, "text")] == ["failed", "worst score"]


@pytest.mark.parametrize("count", [0, 1, 12])
def test_every_plot_is_valid_however_few_the_trials(count: int) -> None:
    """Against Vega-Lite's own schema; what cannot be drawn says so."""
    drawn = [figure for figure in plot_sweep(reported(*spiral(count))) if figure.plot is not None]
    for figure in drawn:
        alt.LayerChart.from_dict(figure.spec)
        assert figure.alt
        assert figure.table.rows
    assert len(drawn) >= min(count, 1) * 3


def test_a_name_with_a_dot_is_no_path() -> None:
    """Vega-Lite would look for `weight` in a field `retain`."""
    space = {"retain.weight": {"low": 0.1, "high": 10.0, "log": True}}
    trials = [trial(i, {"retain.weight": 0.1 * 10 ** (i / 4)}, 0.1 * i) for i in range(4)]
    (figure,) = plot_slices(reported(*trials, objective="ga", space=space))
    encoded = figure.spec["layer"][0]["encoding"]["x"]
    assert (encoded["field"], encoded["title"]) == ("value", "retain.weight (logarithmic)")
    assert [row["value"] for row in layer(figure, "circle")] == [r.setting["retain.weight"] for r in trials]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21 (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("own", [theme.LIGHT, theme.DARK])
def test_colours_can_be_seen(own: theme.Theme) -> None:
    """Text needs a contrast of 4.5 to what is behind it, marks need 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    for text in (own.ink, own.muted, own.link):
        assert min(contrast(text, own.card), contrast(text, own.page)) >= 4.5
    for mark in (theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.SKY, theme.GREY):
        assert contrast(mark, own.card) >= 3
