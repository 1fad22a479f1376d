"""Build the tables of a page that belong to no plot."""

import math
from collections.abc import Mapping, Sequence

from sweep.records import TrialRecord, format_bytes, format_setting
from sweep.report.data import ReportData
from sweep.report.figure import Cell, Table
from sweep.report.numbers import format_difference
from sweep.results.comparison import BEHIND, WINS, ObjectiveResult
from sweep.results.saved_models import SavedModel
from sweep.results.statistics import mean, std

RESULTS = {WINS: "best", BEHIND: "worse"}
"""Words for the result of an objective in a comparison; all others are their own."""
METRIC_COLUMNS = {
    "score": "score",
    "forget ES before mixing": "forget/es",
    "retain ES before mixing": "retain/es",
    "mix": "mix",
}
"""Metrics in the table of trials, by column."""


def format_mean_std(by_seed: Mapping[int, float]) -> str:
    """Format mean ± standard deviation over seeds; only the mean for one seed, a dash for none."""
    if not by_seed:
        return "-"
    return f"{mean(by_seed):.3f} ± {std(by_seed):.3f}" if len(by_seed) > 1 else f"{mean(by_seed):.3f}"


def build_trial_table(sweep: ReportData) -> Table:
    """Build the table of all trials, search, race and finalists, with the reason of a failure or a worst score."""
    names = [*sweep.config.space, *sweep.config.fixed]
    return Table(
        columns=("phase", "trial", *names, "seed", "state", *METRIC_COLUMNS, "seconds", "reason"),
        rows=[_build_trial_row(record, names) for record in sweep.records],
    )


def _build_trial_row(record: TrialRecord, names: Sequence[str]) -> Sequence[Cell]:
    return (
        record.phase,
        record.index,
        *(record.setting.get(name) for name in names),
        record.seed,
        record.state,
        *(record.metrics.get(key) for key in METRIC_COLUMNS.values()),
        round(record.ended - record.started, 1) if record.ended else None,
        record.reason,
    )


def build_model_table(sweep: ReportData) -> Table:
    """Build the table of the models in the sweep's folder."""
    rows = [
        (model.label, model.kind, model.trial_label, model.trial["seed"], model.trial["mix"], *_describe_files(model))
        for model in sweep.models
    ]
    return Table(columns=("model", "weights", "trial", "seed", "mix", "size", "folder"), rows=rows)


def _describe_files(model: SavedModel) -> tuple[str, str]:
    return format_bytes(model.size), str(model.folder)


def build_comparison_table(group: Sequence[ObjectiveResult]) -> Table:
    """Build the table of objectives on one model and dataset, best first, with mean ± std over seeds.

    Its form is that of the paper's table.
    """
    columns = (
        "objective",
        "result",
        "score (lower is better)",
        "forget ES before mixing",
        "retain ES before mixing",
        "difference to the best, 95 % interval",
        "p",
        "paper's setting",
    )
    ordered = sorted(group, key=lambda one: mean(one.scores) if one.scores else math.inf)
    return Table(columns=(*columns, "setting"), rows=[_build_comparison_row(one) for one in ordered])


def _build_comparison_row(one: ObjectiveResult) -> Sequence[Cell]:
    return (
        one.objective,
        RESULTS.get(one.verdict, one.verdict),
        *(format_mean_std(by_seed) for by_seed in (one.scores, one.forget_es, one.retain_es)),
        format_difference(one.difference),
        _format_p(one.p),
        "" if one.recovery is None else one.recovery.verdict,
        format_setting(one.setting or {}),
    )


def _format_p(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
