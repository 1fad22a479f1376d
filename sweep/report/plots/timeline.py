"""Plot the time at which each trial ran, by worker."""

from collections import Counter
from collections.abc import Sequence

import altair as alt

from sweep.records import Record, line
from sweep.report.data import Reported
from sweep.report.figure import Figure, Plot, Table
from sweep.report.marks import Row, data, tips
from sweep.report.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY

WORST = "worst score"
KINDS = {"search": BLUE, "finalist": GREEN, WORST: PURPLE, "failed": ORANGE, "pruned": GREY, "running": SKY}
"""Colours of the bars by kind of trial."""
TROUBLE = (WORST, "failed", "pruned")
"""Kinds whose bars are also marked with a cross."""
UNITS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
COLUMNS = ("kind", "trial", "setting", "worker", "start", "end", "reason")
LINE = 34
"""Height of one worker's row."""


def timeline(sweep: Reported) -> Figure:
    """Plot a bar for each trial, a row for each worker; a running trial's bar ends at the latest known time."""
    began = sorted((record for record in sweep.records if record.started), key=lambda record: record.started)
    unit = _unit(began)
    rows = [_row(record, began, UNITS[unit]) for record in began]
    counts = Counter(row["kind"] for row in rows)
    trouble = [f"{counts[kind]} {kind}" for kind in TROUBLE if counts[kind]]
    workers = len({row["worker"] for row in rows})
    seen = f"{len(rows)} trials on {workers} worker{'' if workers == 1 else 's'}: {', '.join(trouble) or 'none failed'}"
    return Figure(
        key="timeline",
        title=seen if rows else "No trial has begun yet",
        note=f"A bar is a trial, in {unit}; a cross marks one that failed, was pruned or got the worst score.",
        alt=f"Timeline by worker. {seen}.",
        plot=_plot(rows, unit) if rows else None,
        table=Table(columns=COLUMNS, rows=[[row[key] for key in COLUMNS] for row in rows]),
    )


def kind(record: Record) -> str:
    """Return a trial's kind: its phase if it finished with a score of its own, else `worst score` or its state."""
    if record.state != "finished":
        return record.state
    return WORST if record.reason else record.phase


def _unit(began: Sequence[Record]) -> str:
    """Choose the largest unit of which the whole duration has at least two."""
    whole = _last(began) - began[0].started if began else 0.0
    return next((unit for unit in reversed(UNITS) if whole >= 2 * UNITS[unit]), "seconds")


def _last(began: Sequence[Record]) -> float:
    return max(max(record.started, record.ended) for record in began)


def _row(record: Record, began: Sequence[Record], unit: float) -> Row:
    zero, end = began[0].started, record.ended or _last(began)
    values = (kind(record), record.index, line(record.setting), record.worker or "unknown")
    return dict(
        zip(COLUMNS, (*values, (record.started - zero) / unit, (end - zero) / unit, record.reason), strict=True)
    )


def _plot(rows: Sequence[Row], unit: str) -> Plot:
    present = [name for name in KINDS if any(row["kind"] == name for row in rows)]
    scale = alt.Scale(domain=present, range=[KINDS[name] for name in present])
    colour = alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, columns=3, offset=8))
    x = alt.X("start:Q", title=f"{unit} since the first trial began")
    y = alt.Y("worker:N", title=None, axis=alt.Axis(labelLimit=110, grid=False))
    bars = alt.Chart(data(rows)).mark_bar(height=18, stroke="white", strokeWidth=0.6)
    layers = [bars.encode(x=x, x2="end:Q", y=y, color=colour, tooltip=tips(COLUMNS))]
    if marked := [row for row in rows if row["kind"] in TROUBLE]:
        crosses = alt.Chart(data(marked)).mark_text(text="×", size=18, fontWeight="bold", align="left", dx=2)
        layers.append(crosses.encode(x=x, y=y, tooltip=tips(COLUMNS)))
    return alt.layer(*layers).properties(height=LINE * len({row["worker"] for row in rows}))
