"""Plot forget ES against retain ES of each trial, with the Pareto front."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import altair as alt

from sweep.records import Record
from sweep.report.data import Reported
from sweep.report.figure import HEIGHT, Figure, Plot, Table
from sweep.report.highlights import TARGET, roles
from sweep.report.marks import TRIAL, Row, data, named, points, row
from sweep.report.theme import GREY

FORGET, RETAIN = "forget/es", "retain/es"
SIDES = ("forget ES", "retain ES")
"""Keys of forget ES and retain ES in a row."""


def tradeoff(sweep: Reported) -> Figure:
    """Plot the search trials; the best, the runner-up, the paper's setting and the target are highlighted."""
    trials = [r for r in sweep.records if r.phase == "search" and r.state == "finished" and _measured(r.metrics)]
    front = pareto(trials)
    marks = [_row(role.record) | {"which": role.label} for role in roles(sweep.config, trials)]
    marks += [_target(sweep.reference)] if _measured(sweep.reference) else []
    seen = f"{len(front)} of {len(trials)} trials are Pareto-optimal in forgetting and keeping"
    missing = "" if _measured(sweep.reference) else " The target is not marked: its metrics are not there."
    return Figure(
        key="tradeoff",
        title=seen if trials else "No trial has a forget ES and a retain ES yet",
        note="Each trial before it is mixed back towards the target; its colour is the score after that. Up and to the "
        f"left is better. Dashed: the front.{missing}",
        alt=f"Scatter plot: {seen}." + "".join(f" {_said(mark)}" for mark in marks),
        plot=_plot([_row(record) for record in trials], [_row(record) for record in front], marks) if trials else None,
        table=Table(
            columns=(*TRIAL, *SIDES, "front"),
            rows=[(*_row(record).values(), "yes" if record in front else "") for record in trials],
        ),
    )


def pareto(records: Iterable[Record]) -> list[Record]:
    """Find the Pareto-optimal trials, lowest forget ES first; lower forget ES and higher retain ES are better."""
    front: list[Record] = []
    for record in sorted(records, key=lambda r: (r.metrics[FORGET], -r.metrics[RETAIN])):
        if not front or record.metrics[RETAIN] > front[-1].metrics[RETAIN]:
            front.append(record)
    return front


def _measured(metrics: Mapping[str, float]) -> bool:
    return all(math.isfinite(metrics.get(key, math.nan)) for key in (FORGET, RETAIN))


def _row(record: Record) -> Row:
    return row(record) | dict(zip(SIDES, (record.metrics[FORGET], record.metrics[RETAIN]), strict=True))


def _target(reference: Mapping[str, float]) -> Row:
    """Build the target's row; its score is that of no unlearning, the mean of its exact and paraphrased forget ES."""
    score = fmean(value for key, value in reference.items() if key.startswith(FORGET))
    sides = dict(zip(SIDES, (reference[FORGET], reference[RETAIN]), strict=True))
    return {"which": TARGET, "trial": "-", "setting": "before unlearning", "score": score, **sides}


def _said(mark: Row) -> str:
    return f"{mark['which']}: forget ES {mark[SIDES[0]]:.3f}, retain ES {mark[SIDES[1]]:.3f}."


def _plot(trials: Sequence[Row], front: Sequence[Row], marks: Sequence[Row]) -> Plot:
    x = alt.X("forget ES:Q", title="forget ES (left is better: more is forgotten)")
    y = alt.Y("retain ES:Q", title="retain ES (up is better: more is kept)")
    line = alt.Chart(data(front)).mark_line(color=GREY, strokeDash=[4, 3], interpolate="step-after").encode(x=x, y=y)
    keys = (*TRIAL, *SIDES)
    return alt.layer(line, points(trials, x, y, keys), named(marks, x, y, keys)).properties(height=HEIGHT)
