"""Build the tables of a page that belong to no plot."""

import math
from collections.abc import Mapping, Sequence

from sweep.records import Record, line
from sweep.report.data import Reported
from sweep.report.figure import Cell, Table
from sweep.results.comparison import Standing
from sweep.results.statistics import mean, std

METRICS = {"score": "score", "forget ES": "forget/es", "retain ES": "retain/es", "mix": "mix"}
"""Metrics in the table of trials, by column."""


def spread(by_seed: Mapping[int, float]) -> str:
    """Format mean ± standard deviation over seeds; only the mean for one seed, a dash for none."""
    if not by_seed:
        return "-"
    return f"{mean(by_seed):.3f} ± {std(by_seed):.3f}" if len(by_seed) > 1 else f"{mean(by_seed):.3f}"


def trials(sweep: Reported) -> Table:
    """Build the table of all trials, search and finalists, with the reason of a failure or a worst score."""
    names = [*sweep.config.space, *sweep.config.fixed]
    return Table(
        columns=("phase", "trial", *names, "seed", "state", *METRICS, "seconds", "reason"),
        rows=[_trial(record, names) for record in sweep.records],
    )


def _trial(record: Record, names: Sequence[str]) -> Sequence[Cell]:
    return (
        record.phase,
        record.index,
        *(record.setting.get(name) for name in names),
        record.seed,
        record.state,
        *(record.metrics.get(key) for key in METRICS.values()),
        round(record.ended - record.started, 1) if record.ended else None,
        record.reason,
    )


def standing(group: Sequence[Standing]) -> Table:
    """Build the table of objectives on one model and dataset, best first, with mean ± std over fresh seeds.

    Its form is that of the paper's table.
    """
    columns = (
        "objective",
        "verdict",
        "score",
        "forget ES",
        "retain ES",
        "above the best, 95 %",
        "p",
        "paper's setting",
    )
    ordered = sorted(group, key=lambda one: mean(one.scores) if one.scores else math.inf)
    return Table(columns=(*columns, "setting"), rows=[_standing(one) for one in ordered])


def _standing(one: Standing) -> Sequence[Cell]:
    gap = one.difference
    return (
        one.objective,
        one.verdict,
        *(spread(by_seed) for by_seed in (one.scores, one.forget_es, one.retain_es)),
        "" if gap is None else f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
        "" if one.p is None else f"{one.p:.3f}",
        "" if one.recovery is None else one.recovery.verdict,
        line(one.setting or {}),
    )
