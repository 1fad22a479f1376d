"""Plots that lay objectives over one another: their fronts, and their scores over τ."""

from dataclasses import replace
from typing import Any

import altair as alt
import pytest

from support.reports import GOOD, reported
from support.trials import repeats, trial
from sweep.report.data import ReportData
from sweep.report.figure import Figure
from sweep.report.plots.fronts import plot_fronts
from sweep.report.plots.series import encode_points, encode_series
from sweep.report.plots.tau_curves import plot_tau_curves
from sweep.report.sections import build_comparison_sections
from sweep.results.comparison import compare_objectives


def searched(name: str, *places: tuple[float, float]) -> ReportData:
    """A sweep with a trial at each place, forget ES and retain ES."""
    trials = [
        trial(i, {"alpha": i / 10, "beta": 1.0}, 0.5, metrics={"score": 0.5, "forget/es": f, "retain/es": r})
        for i, (f, r) in enumerate(places)
    ]
    return reported(*trials, name=name)


def over_taus(name: str, *levels: dict[str, float]) -> ReportData:
    """A sweep whose best setting has these scores by τ, seed by seed."""
    own = [
        replace(one, metrics={"score": 0.5} | {f"score/tau_{tau}": score for tau, score in level.items()})
        for one, level in zip(repeats(0, GOOD, *(0.5 for _ in levels)), levels, strict=True)
    ]
    return reported(trial(0, GOOD, 0.5), *own, name=name)


def curves(*sweeps: ReportData) -> Figure:
    """The plot of these sweeps' scores over τ."""
    (group,) = compare_objectives(sweeps)
    return plot_tau_curves("k", {one.name: one for one in sweeps}, {one.name: one for one in group})


def is_valid(figure: Figure) -> bool:
    """Check the plot against Vega-Lite's schema, and return True."""
    assert isinstance(figure.plot, alt.LayerChart)
    figure.plot.to_dict(validate=True)
    return True


def test_each_front_has_only_its_own_unbeaten_trials() -> None:
    """Of `one` (.2, .7) beats (.3, .6); of `two` all of (.1, .5), (.5, .9) stand, and `one`'s does not beat them."""
    figure = plot_fronts(
        "k", {"one": searched("a", (0.3, 0.6), (0.2, 0.7)), "two": searched("b", (0.5, 0.9), (0.1, 0.5))}
    )
    assert figure.title == "Trials on the common front of forgetting and keeping: one (1), two (2)"
    assert [(row[0], *row[-2:]) for row in figure.table.rows] == [
        ("one", 0.2, 0.7),
        ("two", 0.1, 0.5),
        ("two", 0.5, 0.9),
        ("target", 0.9, 0.95),
    ]
    assert is_valid(figure)


def test_an_objective_that_is_beaten_is_drawn_and_not_named() -> None:
    """Its trial is worse in both."""
    figure = plot_fronts(
        "k", {"one": searched("a", (0.1, 0.9)), "two": searched("b", (0.2, 0.8)), "none": searched("c")}
    )
    assert figure.title.endswith(": one (1)")
    assert "2 objectives" in figure.alt and "Target: forget ES 0.900" in figure.alt


def test_without_trials_no_plot_says_why() -> None:
    """And without the target's metrics it is not marked."""
    assert plot_fronts("k", {"one": searched("a")}).plot is None
    bare = replace(searched("a", (0.1, 0.5)), target_metrics={})
    assert [row[0] for row in plot_fronts("k", {"one": bare}).table.rows] == ["one"]
    assert curves(reported(name="a"), reported(name="b")).plot is None


def test_curves_are_means_over_seeds() -> None:
    """A has .1 and .3 at τ = .5, b .25: mean .2, standard deviation .1 √2; at .9 b is lower."""
    first = over_taus("a", {"0.5": 0.1, "0.9": 0.6}, {"0.5": 0.3, "0.9": 0.6})
    figure = curves(first, over_taus("b", {"0.5": 0.25, "0.9": 0.5}, {"0.5": 0.25, "0.9": 0.5}))
    assert [list(row) for row in figure.table.rows] == [
        ["a", 0.5, pytest.approx(0.2), pytest.approx(0.1 * 2**0.5), 2],
        ["a", 0.9, 0.6, 0.0, 2],
        ["b", 0.5, 0.25, 0.0, 2],
        ["b", 0.9, 0.5, 0.0, 2],
    ]
    assert figure.title == "Lowest mean score: a at 1 of 2 τ, b at 1 of 2 τ"
    assert "measured at τ = 0.95 " in figure.note
    assert is_valid(figure)


def test_the_rule_is_the_target_s_score() -> None:
    """(.9 + .5) / 2, the mean of exact and paraphrased forget ES."""
    spec: dict[str, Any] = curves(over_taus("a", {"0.5": 0.1}), over_taus("b", {"0.5": 0.2})).spec
    rule = next(layer for layer in spec["layer"] if layer["mark"]["type"] == "rule")
    rows = rule["data"].get("values") or spec["datasets"][rule["data"]["name"]]
    assert [row["score"] for row in rows] == [pytest.approx(0.7)]


def test_twelve_objectives_look_different() -> None:
    """As points by colour and shape, as lines by colour and dash."""
    labels = [f"objective {i}" for i in range(12)]
    for encode, other in ((encode_series, "strokeDash"), (encode_points, "shape")):
        ranges = {key: channel.to_dict()["scale"]["range"] for key, channel in encode(labels).items()}
        assert len({(colour, str(mark)) for colour, mark in zip(ranges["color"], ranges[other], strict=True)}) == 12


def test_a_comparison_has_both_plots() -> None:
    """Sweeps of the same objective are told apart by their names."""
    (section,) = build_comparison_sections([searched("a", (0.1, 0.5)), searched("b", (0.2, 0.6))])
    assert [figure.key for figure in section.overlays] == ["fronts-toy-authors", "tau-curves-toy-authors"]
    assert {row[0] for row in section.overlays[0].table.rows} == {"a", "b", "target"}
