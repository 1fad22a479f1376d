"""Plot the course of the search: the score of each trial, and the best score so far."""

from collections.abc import Sequence
from itertools import accumulate

import altair as alt

from sweep.records import Record, line
from sweep.report.data import Reported
from sweep.report.figure import HEIGHT, Figure, Plot, Table
from sweep.report.highlights import roles
from sweep.report.marks import LOWER, TRIAL, Row, data, named, points, row, tips
from sweep.report.theme import ORANGE
from sweep.results.statistics import best


def history(sweep: Reported) -> Figure:
    """Plot the search trials by index; trials without a score are crosses on the upper edge."""
    over = sorted((r for r in sweep.records if r.phase == "search" and r.state != "running"), key=lambda r: r.index)
    lost = [record for record in over if record.state != "finished"]
    scored = [record for record in over if record.state == "finished"]
    lowest = accumulate((record.score for record in scored), min)
    rows = [row(record) | {"best so far": low} for record, low in zip(scored, lowest, strict=True)]
    lead = best(scored)
    seen = f"The lowest score, {lead.score:.3f}, came with trial {lead.index}" if lead else "No trial has a score yet"
    return Figure(
        key="history",
        title=f"{seen} of {len(over)}" if lead else seen,
        note="Every trial of the search in its order; the line is the best so far."
        + (f" Crosses on the upper edge: {len(lost)} without a score." if lost else ""),
        alt=f"Scatter plot of the score over the trial's number. {seen}.",
        plot=_plot(rows, lost, [row(r.record) | {"which": r.label} for r in roles(sweep.config, scored)])
        if lead
        else None,
        table=Table(columns=(*TRIAL, "best so far"), rows=[list(values.values()) for values in rows]),
    )


def _plot(rows: Sequence[Row], lost: Sequence[Record], marks: Sequence[Row]) -> Plot:
    x = alt.X("trial:Q", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(nice=False, padding=8))
    y = alt.Y("score:Q", title=LOWER, scale=alt.Scale(zero=False))
    steps = alt.Chart(data(rows)).mark_line(color=ORANGE, interpolate="step-after", strokeWidth=2)
    layers = [steps.encode(x=x, y=alt.Y("best so far:Q", title=LOWER)), points(rows, x, y)]
    if lost:
        crosses = alt.Chart(data(map(_lost, lost))).mark_text(text="×", size=18)
        layers.append(crosses.encode(x=x, y=alt.value(4), tooltip=tips(("trial", "setting", "kind", "reason"))))
    return alt.layer(*layers, named(marks, x, y)).properties(height=HEIGHT)


def _lost(record: Record) -> Row:
    return {"trial": record.index, "setting": line(record.setting), "kind": record.state, "reason": record.reason}
