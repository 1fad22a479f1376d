"""Plot forget ES against retain ES of each trial, with the Pareto front."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import altair as alt

from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import TARGET_LABEL, find_highlights
from sweep.report.marks import TRIAL_KEYS, Row, build_trial_row, draw_highlights, draw_trials, embed_rows
from sweep.report.theme import GREY
from sweep.results.statistics import FORGET_METRIC, RETAIN_METRIC, find_pareto_front, has_both_es

ES_COLUMNS = ("forget ES before mixing", "retain ES before mixing")
"""Keys of forget ES and retain ES in a row."""


def plot_tradeoff(sweep: ReportData) -> Figure:
    """Plot the search trials; the best, the runner-up, the paper's setting and the target are highlighted."""
    trials = [r for r in sweep.records if r.phase == "search" and r.state == "finished" and has_both_es(r.metrics)]
    front = find_pareto_front(trials)
    marks = [
        _build_row(role.record) | {"which": role.label} for role in find_highlights(sweep) if role.record in trials
    ]
    marks += [_build_target_row(sweep.target_metrics)] if has_both_es(sweep.target_metrics) else []
    seen = f"{len(front)} of {len(trials)} trials are Pareto-optimal in forgetting and keeping, before mixing"
    missing = "" if has_both_es(sweep.target_metrics) else " The target is not marked: its metrics are not there."
    return Figure(
        key="tradeoff",
        title=seen if trials else "No trial has a forget ES and a retain ES yet",
        note="Each trial before it is mixed back towards the target; its colour is the score, after that. Up and to "
        f"the left is better. Dashed: the front.{missing}",
        alt=f"Scatter plot: {seen}." + "".join(f" {_describe_mark(mark)}" for mark in marks),
        plot=_draw_plot([_build_row(record) for record in trials], [_build_row(record) for record in front], marks)
        if trials
        else None,
        table=Table(
            columns=(*TRIAL_KEYS, *ES_COLUMNS, "front"),
            rows=[(*_build_row(record).values(), "yes" if record in front else "") for record in trials],
        ),
    )


def _build_row(record: TrialRecord) -> Row:
    return build_trial_row(record) | dict(
        zip(ES_COLUMNS, (record.metrics[FORGET_METRIC], record.metrics[RETAIN_METRIC]), strict=True)
    )


def _build_target_row(reference: Mapping[str, float]) -> Row:
    """Build the target's row; its score is that of no unlearning, the mean of its exact and paraphrased forget ES."""
    score = fmean(value for key, value in reference.items() if key.startswith(FORGET_METRIC))
    sides = dict(zip(ES_COLUMNS, (reference[FORGET_METRIC], reference[RETAIN_METRIC]), strict=True))
    return {"which": TARGET_LABEL, "trial": "-", "setting": "before unlearning", "score": score, **sides}


def _describe_mark(mark: Row) -> str:
    return f"{mark['which']}: forget ES {mark[ES_COLUMNS[0]]:.3f}, retain ES {mark[ES_COLUMNS[1]]:.3f}."


def _draw_plot(trials: Sequence[Row], front: Sequence[Row], marks: Sequence[Row]) -> Plot:
    x = alt.X(f"{ES_COLUMNS[0]}:Q", title="forget ES before mixing (left is better)")
    y = alt.Y(f"{ES_COLUMNS[1]}:Q", title="retain ES before mixing (up is better)")
    line = (
        alt.Chart(embed_rows(front)).mark_line(color=GREY, strokeDash=[4, 3], interpolate="step-after").encode(x=x, y=y)
    )
    keys = (*TRIAL_KEYS, *ES_COLUMNS)
    return alt.layer(line, draw_trials(trials, x, y, keys), draw_highlights(marks, x, y, keys)).properties(
        height=PLOT_HEIGHT_PX
    )
