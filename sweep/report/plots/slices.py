"""Plot the score over each hyper-parameter."""

from collections.abc import Sequence

import altair as alt

from sweep.records import TrialRecord, Value, format_value
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import find_highlights
from sweep.report.marks import SCORE_TITLE, TRIAL_KEYS, Row, build_trial_row, draw_highlights, draw_trials
from sweep.report.parameter import find_range_parameters


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
    marks = [_build_row(role.record, name) | {"which": role.label} for role in find_highlights(sweep)]
    seen = _describe_best_quarter(trials, name) if trials else f"No trial shows yet what {name} does"
    return Figure(
        key=f"slice-{name}",
        title=seen,
        note=f"Each trial's score over {name}; the other hyper-parameters differ too.",
        alt=f"Scatter plot of the score over {name}. {seen}.",
        plot=_draw_plot(rows, marks, x) if trials else None,
        table=Table(columns=(*TRIAL_KEYS, name), rows=[list(values.values()) for values in rows]),
    )


def _build_row(record: TrialRecord, name: str) -> Row:
    return build_trial_row(record) | {"value": record.setting[name]}


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
        return f"between {numbers[0]:.2g} and {numbers[-1]:.2g}"
    return f"at {', '.join(sorted({format_value(value) for value in values}))}"


def _draw_plot(rows: Sequence[Row], marks: Sequence[Row], x: alt.X) -> Plot:
    y = alt.Y("score:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False))
    return alt.layer(draw_trials(rows, x, y), draw_highlights(marks, x, y)).properties(height=PLOT_HEIGHT_PX)
