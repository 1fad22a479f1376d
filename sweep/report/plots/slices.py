"""Plot the score over each hyper-parameter."""

from collections.abc import Sequence

import altair as alt

from sweep.config.search_schema import Choices, Range
from sweep.records import TrialRecord, Value, format_setting
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import find_highlights, mark_stand_in
from sweep.report.marks import (
    SCORE_TITLE,
    TRIAL_KEYS,
    Row,
    build_trial_row,
    draw_highlights,
    draw_trials,
    embed_rows,
    encode_colour,
)
from sweep.report.numbers import format_number
from sweep.report.plots.parameter import find_range_parameters
from sweep.results.statistics import Finalist, summarize_finalists

MARK_KEYS = ("setting", "score", "measured on")
"""Keys of a large mark that its tooltip shows."""


def plot_slices(sweep: ReportData) -> list[Figure]:
    """Plot the score over each searched hyper-parameter, one figure each."""
    ranges = find_range_parameters(sweep.config)
    return [
        _plot_slice(sweep, name, ranges[name].encode_x("value") if name in ranges else _encode_choices(name))
        for name in sweep.config.space
    ]


def _encode_choices(name: str) -> alt.X:
    return alt.X("value:N", title=name, axis=alt.Axis(labelAngle=0))


def _plot_slice(sweep: ReportData, name: str, x: alt.X) -> Figure:
    trials = sweep.ranking
    rows = [_build_row(record, name) for record in trials]
    means, marks = _build_mean_rows(sweep, name), _build_search_marks(sweep, name)
    seen = _describe_best_quarter(trials, name) if trials else f"No trial shows yet what {name} does"
    return Figure(
        key=f"slice-{name}",
        title=seen,
        note=f"Each trial's score over {name}; the other hyper-parameters differ too. Large, with a line: mean ± one "
        "standard deviation over report seeds.",
        alt=f"Scatter plot of the score over {name}. {seen}.",
        plot=_draw_plot(rows, means, marks, x) if trials else None,
        table=Table(columns=(*TRIAL_KEYS, name), rows=[list(values.values()) for values in rows]),
    )


def _build_row(record: TrialRecord, name: str) -> Row:
    return build_trial_row(record) | {"value": record.setting[name]}


def _build_mean_rows(sweep: ReportData, name: str) -> list[Row]:
    """Build the rows of the finalists' means over report seeds; none before they have run."""
    return [
        {
            "which": mark_stand_in(one.label, sweep.config),
            "setting": format_setting(one.setting),
            "score": one.mean,
            "measured on": f"{len(one.scores)} report seeds",
            "low": one.mean - _measure_spread(one),
            "high": one.mean + _measure_spread(one),
            "value": one.setting[name],
        }
        for one in summarize_finalists(sweep)
        if one.scores and _can_show(sweep.config.space[name], one.setting[name])
    ]


def _measure_spread(one: Finalist) -> float:
    """Return the standard deviation over seeds; 0 for one seed."""
    return one.std if len(one.scores) > 1 else 0.0


def _can_show(entry: Range | Choices, value: Value) -> bool:
    """Return True if a value has a place on the axis: the paper's may lie outside the searched range."""
    return isinstance(entry, Choices) or entry.low <= float(value) <= entry.high


def _build_search_marks(sweep: ReportData, name: str) -> list[Row]:
    """Build the rows of the highlighted search trials whose setting has no mean over report seeds."""
    measured = [one.setting for one in summarize_finalists(sweep) if one.scores]
    found = [role for role in find_highlights(sweep) if role.record.setting not in measured]
    return [_build_row(r.record, name) | {"which": r.label, "measured on": f"trial {r.record.index}"} for r in found]


def _describe_best_quarter(trials: Sequence[TrialRecord], name: str) -> str:
    """Describe the values in the best quarter of the trials, which are sorted best first."""
    quarter = trials[: max(1, len(trials) // 4)]
    who = "The best trial has" if len(quarter) == 1 else f"The best {len(quarter)} trials have"
    return f"{who} {name} {_describe_values([record.setting[name] for record in quarter])}"


def _describe_values(values: Sequence[Value]) -> str:
    """Describe values: their range if they are different numbers, else the values themselves."""
    numbers = sorted(
        {float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    )
    if len(numbers) > 1:
        return f"between {format_number(numbers[0], 2)} and {format_number(numbers[-1], 2)}"
    return f"at {', '.join(sorted({format_number(value) for value in values}))}"


def _draw_plot(rows: Sequence[Row], means: Sequence[Row], marks: Sequence[Row], x: alt.X) -> Plot:
    y = alt.Y("score:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False))
    spread = alt.Chart(embed_rows(means)).mark_rule(strokeWidth=3)
    low = alt.Y("low:Q", title=SCORE_TITLE)
    ends = [spread.encode(x=x, y=low, y2="high:Q", color=encode_colour([*means, *marks]))] if means else []
    return alt.layer(draw_trials(rows, x, y), *ends, draw_highlights([*means, *marks], x, y, MARK_KEYS)).properties(
        height=PLOT_HEIGHT_PX
    )
