"""Plot the fronts of several objectives over one another: forget ES against retain ES, before mixing."""

from collections.abc import Mapping, Sequence

import altair as alt

from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import MARKER_STYLES, TARGET_LABEL
from sweep.report.marks import TRIAL_KEYS, Row, build_tooltips, build_trial_row, embed_rows
from sweep.report.plots.series import encode_points, encode_series
from sweep.results.statistics import FORGET_METRIC, RETAIN_METRIC, find_pareto_front, has_both_es

ES_KEYS = {"forget ES": FORGET_METRIC, "retain ES": RETAIN_METRIC}
"""Metrics of a row, by their key in it."""


def plot_fronts(key: str, sweeps: Mapping[str, ReportData]) -> Figure:
    """Plot the front of each objective's search trials, and the target, from which all of them start.

    Args:
        key: the figure's key.
        sweeps: sweeps on one model and dataset, by label.
    """
    fronts = {label: find_pareto_front(_list_finished(sweep)) for label, sweep in sweeps.items()}
    labels = [label for label, front in fronts.items() if front]
    rows = [_build_row(label, record) for label, front in fronts.items() for record in front]
    target = next((sweep.target_metrics for sweep in sweeps.values() if has_both_es(sweep.target_metrics)), None)
    marks = [] if target is None else [_build_target_row(target)]
    common = find_pareto_front(record for front in fronts.values() for record in front)
    on_common = {label: sum(any(r is c for c in common) for r in front) for label, front in fronts.items()}
    shares = ", ".join(f"{label} ({n})" for label, n in on_common.items() if n)
    return Figure(
        key=key,
        title=f"Trials on the common front of forgetting and keeping: {shares}"
        if rows
        else "No trial has a forget ES and a retain ES yet",
        note="The front of each objective's search: its trials that no other of its own beats in both, before mixing. "
        "Up and to the left is better.",
        alt=f"Step lines of retain ES over forget ES, one for each of {len(labels)} objectives. On the common front: "
        f"{shares or 'none'}." + "".join(f" Target: forget ES {mark['forget ES']:.3f}." for mark in marks),
        plot=_draw_plot(labels, rows, marks) if rows else None,
        table=Table(columns=("objective", *TRIAL_KEYS, *ES_KEYS), rows=[list(row.values()) for row in [*rows, *marks]]),
    )


def _list_finished(sweep: ReportData) -> list[TrialRecord]:
    return [r for r in sweep.records if r.phase == "search" and r.state == "finished" and has_both_es(r.metrics)]


def _build_row(label: str, record: TrialRecord) -> Row:
    return {"which": label} | build_trial_row(record) | {key: record.metrics[own] for key, own in ES_KEYS.items()}


def _build_target_row(metrics: Mapping[str, float]) -> Row:
    before: Row = {"which": TARGET_LABEL, "trial": None, "setting": "before unlearning", "score": None}
    return before | {key: metrics[own] for key, own in ES_KEYS.items()}


def _draw_plot(labels: Sequence[str], rows: Sequence[Row], marks: Sequence[Row]) -> Plot:
    scale = alt.Scale(zero=False, nice=False, padding=14)
    x = alt.X("forget ES:Q", title="forget ES before mixing (left is better)", scale=scale)
    y = alt.Y("retain ES:Q", title="retain ES before mixing (up is better)", scale=scale)
    fronts, style = alt.Chart(embed_rows(rows)), MARKER_STYLES[TARGET_LABEL]
    lines = fronts.mark_line(strokeWidth=2, interpolate="step-after").encode(x=x, y=y, **encode_series(labels))
    points = fronts.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, tooltip=build_tooltips(("which", *TRIAL_KEYS, *ES_KEYS)), **encode_points(labels)
    )
    target = alt.Chart(embed_rows(marks))
    cross = target.mark_point(filled=True, size=180, opacity=1, color=style.colour, shape="cross", angle=45)
    name = target.mark_text(align="right", dx=8, dy=-16, fontSize=12).encode(x=x, y=y, text="which:N")
    return alt.layer(
        lines, points, cross.encode(x=x, y=y, tooltip=build_tooltips(("which", *ES_KEYS))), name
    ).properties(height=PLOT_HEIGHT_PX)
