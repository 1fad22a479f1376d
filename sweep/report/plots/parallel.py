"""Plot parallel coordinates: a line for each trial, across its hyper-parameters to its score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import altair as alt

from sweep.config.search_schema import Choices
from sweep.records import TrialRecord, Value
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.marks import (
    TRIAL_KEYS,
    Row,
    build_tooltips,
    build_trial_row,
    describe_colour,
    embed_rows,
    find_score_range,
)
from sweep.report.numbers import format_number
from sweep.report.plots.parameter import find_range_parameters

MAX_LINES = 200
"""Best trials that are drawn: more lines hide one another."""
SCORE_AXIS = "score"
FADED, SEEN = 0.55, 1.0
"""Opacity of the lines, and of the one that is pointed at."""


@dataclass(frozen=True, kw_only=True)
class ParallelAxis:
    """An axis: its name, the place of a value from 0 (bottom) to 1 (top), and values that label it."""

    name: str
    place_value: Callable[[Value], float]
    ticks: Sequence[Value]


def plot_parallel(sweep: ReportData) -> Figure:
    """Plot the best trials; their colour is the score, and the lowest score is at the bottom of its axis."""
    trials = sweep.ranking[:MAX_LINES]
    names = [*sweep.config.space]
    seen = f"{len(trials)} trials across {len(names)} hyper-parameters" + (
        f", the best of {len(sweep.ranking)}" if len(sweep.ranking) > len(trials) else ""
    )
    missing = "no trial has a score yet" if not trials else f"{len(names)} hyper-parameter is searched"
    can_draw = bool(trials) and len(names) > 1
    return Figure(
        key="parallel",
        title=seen if can_draw else f"No parallel coordinates: {missing}",
        note="A line is a trial; where dark lines meet, a value is good. Point at a line to bring it out.",
        alt=f"Parallel coordinates: {seen}.",
        plot=_draw_plot(_build_axes(sweep, trials), trials) if can_draw else None,
        table=Table(
            columns=("trial", *names, SCORE_AXIS),
            rows=[(r.index, *(r.setting[name] for name in names), r.score) for r in trials],
        ),
    )


def _build_axes(sweep: ReportData, trials: Sequence[TrialRecord]) -> list[ParallelAxis]:
    """Build an axis for each searched hyper-parameter, and that of the score."""
    ranges = find_range_parameters(sweep.config)
    axes = [
        ParallelAxis(
            name=name,
            place_value=ranges[name].to_fraction,
            ticks=[ranges[name].from_fraction(place) for place in (0.0, 0.5, 1.0)],
        )
        for name in ranges
    ]
    axes += [
        ParallelAxis(name=name, place_value=_place_choices(entry.choices), ticks=entry.choices)
        for name, entry in sweep.config.space.items()
        if isinstance(entry, Choices)
    ]
    low, high = find_score_range([{"score": record.score} for record in trials])
    return [
        *axes,
        ParallelAxis(
            name=SCORE_AXIS,
            place_value=lambda score: (float(score) - low) / ((high - low) or 1.0),
            ticks=[low, (low + high) / 2, high] if high > low else [low],
        ),
    ]


def _place_choices(choices: Sequence[Value]) -> Callable[[Value], float]:
    return lambda value: [*choices].index(value) / max(1, len(choices) - 1)


def _draw_plot(axes: Sequence[ParallelAxis], trials: Sequence[TrialRecord]) -> Plot:
    rows: list[Row] = [
        build_trial_row(r)
        | {f"axis {i}": one.place_value(r.setting.get(one.name, r.score)) for i, one in enumerate(axes)}
        for r in reversed(trials)  # the best are drawn last, above all others
    ]
    keys = [f"axis {i}" for i in range(len(axes))]
    x = alt.X(
        "axis:N",
        title=None,
        sort=keys,
        scale=alt.Scale(type="point", padding=0.35),
        axis=alt.Axis(
            orient="top", labelAngle=0, labelFontSize=13, labelLimit=120, grid=True, labelExpr=_name_axes(axes)
        ),
    )
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[0, 1], nice=False, padding=8))
    pointed = alt.selection_point(name="pointed", on="pointerover", clear="pointerout", fields=["trial"], empty=False)
    folded = alt.Chart(embed_rows(rows)).transform_fold([*keys], as_=["axis", "place"])
    lines = folded.mark_line(strokeCap="round").encode(
        x=x,
        y=y,
        detail="trial:N",
        stroke=alt.Stroke("score:Q", **describe_colour(find_score_range(rows))),
        strokeWidth=alt.condition(pointed, alt.value(5), alt.value(2)),
        strokeOpacity=alt.condition(pointed, alt.value(SEEN), alt.value(FADED)),
        tooltip=build_tooltips(TRIAL_KEYS),
    )
    labels = alt.Chart(embed_rows(_build_tick_rows(axes))).mark_text(align="left", dx=6, fontSize=12)
    return alt.layer(lines.add_params(pointed), labels.encode(x=x, y=y, text="label:N")).properties(
        height=PLOT_HEIGHT_PX
    )


def _name_axes(axes: Sequence[ParallelAxis]) -> str:
    """Return the expression in Vega that names an axis by its key."""
    return f"{[one.name for one in axes]}[toNumber(slice(datum.label, 5))]"


def _build_tick_rows(axes: Sequence[ParallelAxis]) -> list[Row]:
    return [
        {"axis": f"axis {i}", "place": one.place_value(value), "label": format_number(value, 3)}
        for i, one in enumerate(axes)
        for value in one.ticks
    ]
