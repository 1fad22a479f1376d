"""Plot the time at which each trial ran, by worker."""

from collections import Counter
from collections.abc import Sequence

import altair as alt

from sweep.records import TrialRecord, format_setting
from sweep.report.data import ReportData
from sweep.report.figure import Figure, Plot, Table
from sweep.report.marks import Row, build_tooltips, embed_rows
from sweep.report.theme import BLUE, GREEN, GREY, OLIVE, ORANGE, PURPLE, SKY

WORST_SCORE = "worst score"
KIND_COLOURS = {
    "search": BLUE,
    "race": OLIVE,
    "finalist": GREEN,
    WORST_SCORE: PURPLE,
    "failed": ORANGE,
    "pruned": GREY,
    "running": SKY,
}
"""Colours of the bars by kind of trial."""
MARKED_KINDS = (WORST_SCORE, "failed", "pruned")
"""Kinds whose bars are also marked with a cross."""
UNIT_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
COLUMNS = ("kind", "trial", "setting", "worker", "start", "end", "reason")
MAX_EDGED_BARS = 200
"""Bars that have an edge; more are so narrow that they would be nothing else."""
ROW_HEIGHT_PX = 34
"""Height of one worker's row."""


def plot_timeline(sweep: ReportData) -> Figure:
    """Plot a bar for each trial, a row for each worker; a running trial's bar ends at the latest known time."""
    began = sorted((record for record in sweep.records if record.started), key=lambda record: record.started)
    unit = _choose_unit(began)
    rows = [_build_row(record, began, UNIT_SECONDS[unit]) for record in began]
    counts = Counter(row["kind"] for row in rows)
    trouble = [f"{counts[kind]} {kind}" for kind in MARKED_KINDS if counts[kind]]
    workers = len({row["worker"] for row in rows})
    counted = f"{len(rows)} trial{'' if len(rows) == 1 else 's'} on {workers} worker{'' if workers == 1 else 's'}"
    seen = f"{counted}: {', '.join(trouble) or 'none failed'}"
    return Figure(
        key="timeline",
        title=seen if rows else "No trial has begun yet",
        note=f"A bar is a trial, in {unit}; a cross marks one that failed, was pruned or got the worst score.",
        alt=f"Timeline by worker. {seen}.",
        plot=_draw_plot(rows, unit) if rows else None,
        table=Table(columns=COLUMNS, rows=[[row[key] for key in COLUMNS] for row in rows]),
    )


def classify_trial(record: TrialRecord) -> str:
    """Return a trial's kind: its phase if it finished with a score of its own, else `worst score` or its state."""
    if record.state != "finished":
        return record.state
    return WORST_SCORE if record.reason else record.phase


def _choose_unit(began: Sequence[TrialRecord]) -> str:
    """Choose the largest unit of which the whole duration has at least two."""
    whole = _find_last_time(began) - began[0].started if began else 0.0
    return next((unit for unit in reversed(UNIT_SECONDS) if whole >= 2 * UNIT_SECONDS[unit]), "seconds")


def _find_last_time(began: Sequence[TrialRecord]) -> float:
    return max(max(record.started, record.ended) for record in began)


def _build_row(record: TrialRecord, began: Sequence[TrialRecord], unit: float) -> Row:
    zero, end = began[0].started, record.ended or _find_last_time(began)
    values = (classify_trial(record), record.index, format_setting(record.setting), record.worker or "unknown")
    return dict(
        zip(COLUMNS, (*values, (record.started - zero) / unit, (end - zero) / unit, record.reason), strict=True)
    )


def _draw_plot(rows: Sequence[Row], unit: str) -> Plot:
    present = [name for name in KIND_COLOURS if any(row["kind"] == name for row in rows)]
    scale = alt.Scale(domain=present, range=[KIND_COLOURS[name] for name in present])
    colour = alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, columns=3, offset=8))
    x = alt.X("start:Q", title=f"{unit} since the first trial began")
    y = alt.Y("worker:N", title=None, axis=alt.Axis(labelLimit=110, grid=False))
    edge = 0.6 if len(rows) <= MAX_EDGED_BARS else 0.0
    bars = alt.Chart(embed_rows(rows)).mark_bar(height=18, stroke="white", strokeWidth=edge)
    layers = [bars.encode(x=x, x2="end:Q", y=y, color=colour, tooltip=build_tooltips(COLUMNS))]
    if marked := [row for row in rows if row["kind"] in MARKED_KINDS]:
        crosses = alt.Chart(embed_rows(marked)).mark_text(text="×", size=18, fontWeight="bold", align="left", dx=2)
        layers.append(crosses.encode(x=x, y=y, tooltip=build_tooltips(COLUMNS)))
    return alt.layer(*layers).properties(height=ROW_HEIGHT_PX * len({row["worker"] for row in rows}))
