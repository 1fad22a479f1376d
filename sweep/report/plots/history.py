"""Plot the course of the search: the score of each trial, and the best score so far."""

from collections.abc import Sequence
from itertools import accumulate

import altair as alt

from sweep.records import TrialRecord, format_setting
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import find_highlights
from sweep.report.marks import (
    SCORE_TITLE,
    TRIAL_KEYS,
    Row,
    build_tooltips,
    build_trial_row,
    draw_highlights,
    draw_trials,
    embed_rows,
)
from sweep.report.theme import ORANGE


def plot_history(sweep: ReportData) -> Figure:
    """Plot the search trials by index; trials without a score are crosses on the upper edge."""
    over = sorted((r for r in sweep.records if r.phase == "search" and r.state != "running"), key=lambda r: r.index)
    lost = [record for record in over if record.state != "finished"]
    scored = [record for record in over if record.state == "finished"]
    lowest = accumulate((record.score for record in scored), min)
    rows = [build_trial_row(record) | {"best so far": low} for record, low in zip(scored, lowest, strict=True)]
    lead = min(scored, key=lambda record: record.score, default=None)
    n_seeds = sweep.config.search.seeds
    seen = (
        f"The lowest score of the search, {lead.score:.3f}, came with trial {lead.index}"
        if lead
        else "No trial has a score yet"
    )
    return Figure(
        key="history",
        title=f"{seen} of {len(over)}" if lead else seen,
        note="Every trial of the search in its order; the line is the lowest score so far."
        + (f" Trials take turns on {n_seeds} seeds, of which some are luckier." if n_seeds > 1 else "")
        + (f" Crosses on the upper edge: {len(lost)} without a score." if lost else ""),
        alt=f"Scatter plot of the score over the trial's number. {seen}.",
        plot=_draw_plot(rows, lost, [build_trial_row(r.record) | {"which": r.label} for r in find_highlights(sweep)])
        if lead
        else None,
        table=Table(columns=(*TRIAL_KEYS, "best so far"), rows=[list(values.values()) for values in rows]),
    )


def _draw_plot(rows: Sequence[Row], lost: Sequence[TrialRecord], marks: Sequence[Row]) -> Plot:
    x = alt.X("trial:Q", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(nice=False, padding=8))
    y = alt.Y("score:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False))
    steps = alt.Chart(embed_rows(rows)).mark_line(color=ORANGE, interpolate="step-after", strokeWidth=2)
    layers = [steps.encode(x=x, y=alt.Y("best so far:Q", title=SCORE_TITLE)), draw_trials(rows, x, y)]
    if lost:
        crosses = alt.Chart(embed_rows(map(_build_unscored_row, lost))).mark_text(text="×", size=18)
        layers.append(
            crosses.encode(x=x, y=alt.value(4), tooltip=build_tooltips(("trial", "setting", "kind", "reason")))
        )
    return alt.layer(*layers, draw_highlights(marks, x, y)).properties(height=PLOT_HEIGHT_PX)


def _build_unscored_row(record: TrialRecord) -> Row:
    return {
        "trial": record.index,
        "setting": format_setting(record.setting),
        "kind": record.state,
        "reason": record.reason,
    }
