"""Plot the score over each hyper-parameter."""

from collections.abc import Sequence

import altair as alt

from sweep.records import Record, Value, short
from sweep.report.data import Reported
from sweep.report.figure import HEIGHT, Figure, Plot, Table
from sweep.report.highlights import roles
from sweep.report.marks import LOWER, TRIAL, Row, named, points, row
from sweep.report.parameter import parameters
from sweep.results.statistics import ranked


def slices(sweep: Reported) -> list[Figure]:
    """Plot the score over each searched hyper-parameter, one figure each."""
    ranges = parameters(sweep.config)
    return [
        _slice(sweep, name, ranges[name].x("value") if name in ranges else _choices(name))
        for name in sweep.config.space
    ]


def _choices(name: str) -> alt.X:
    return alt.X("value:N", title=name, axis=alt.Axis(labelAngle=0))


def _slice(sweep: Reported, name: str, x: alt.X) -> Figure:
    trials = ranked(sweep.records)
    rows = [_row(record, name) for record in trials]
    marks = [_row(role.record, name) | {"which": role.label} for role in roles(sweep.config, trials)]
    seen = _seen(trials, name) if trials else f"No trial shows yet what {name} does"
    return Figure(
        key=f"slice-{name}",
        title=seen,
        note=f"Each trial's score over {name}; the other hyper-parameters differ too.",
        alt=f"Scatter plot of the score over {name}. {seen}.",
        plot=_plot(rows, marks, x) if trials else None,
        table=Table(columns=(*TRIAL, name), rows=[list(values.values()) for values in rows]),
    )


def _row(record: Record, name: str) -> Row:
    return row(record) | {"value": record.setting[name]}


def _seen(trials: Sequence[Record], name: str) -> str:
    """Describe the values in the best quarter of the trials, which are sorted best first."""
    quarter = trials[: max(1, len(trials) // 4)]
    who = "The best trial has" if len(quarter) == 1 else f"The best {len(quarter)} trials have"
    return f"{who} {name} {_where([record.setting[name] for record in quarter])}"


def _where(values: Sequence[Value]) -> str:
    """Describe values: their range if they are different numbers, else the values themselves."""
    numbers = sorted(
        {float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)}
    )
    if len(numbers) > 1:
        return f"between {numbers[0]:.2g} and {numbers[-1]:.2g}"
    return f"at {', '.join(sorted({short(value) for value in values}))}"


def _plot(rows: Sequence[Row], marks: Sequence[Row], x: alt.X) -> Plot:
    y = alt.Y("score:Q", title=LOWER, scale=alt.Scale(zero=False))
    return alt.layer(points(rows, x, y), named(marks, x, y)).properties(height=HEIGHT)
