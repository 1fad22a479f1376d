"""Collect what two trials are compared by: the page shows any two of them beside each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import TrialRecord, format_setting
from sweep.report.data import ReportData
from sweep.report.figure import Cell
from sweep.report.plots.curves import SIDES
from sweep.results.statistics import FORGET_METRIC, RETAIN_METRIC

MAX_SEARCH_TRIALS = 300
"""Best trials of the search among which one can choose: a longer list cannot be looked through."""
METRIC_NAMES = {
    "score": "forget ES at equal retention (the score), lower is better",
    FORGET_METRIC: "forget ES before mixing",
    RETAIN_METRIC: "retain ES before mixing",
}
"""Names of metrics in the table; all others go by their keys."""


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """The trials of a sweep, of which the page shows two beside each other.

    Attributes:
        names: what the values are: score, hyper-parameters, metrics, and ES after each epoch.
        trials: names of the trials.
        values: values of each trial, in the order of `names`; those at the end that it does not have are left out.
        chosen: places of the two trials that are shown at first: those of the best and of the paper's setting.
        n_left_out: number of the search's other trials.
    """

    names: Sequence[str]
    trials: Sequence[str]
    values: Sequence[Sequence[Cell]]
    chosen: tuple[int, int]
    n_left_out: int


def build_side_by_side(sweep: ReportData) -> SideBySide | None:
    """Build the comparison of two trials; None with fewer than two that finished."""
    best = {record.index for record in sweep.ranking[:MAX_SEARCH_TRIALS]}
    over = [r for r in sweep.records if r.state == "finished" and (r.phase != "search" or r.index in best)]
    if len(over) < 2:
        return None
    known = [_collect_values(record) for record in over]
    counts = Counter(name for values in known for name in values)
    # What few trials have, as the full suite, is at the end, where it is left out.
    names = sorted(counts, key=lambda name: counts[name] < len(over) // 2)
    return SideBySide(
        names=names,
        trials=[_name_trial(record) for record in over],
        values=[_list_values(values, names) for values in known],
        chosen=_choose_two(sweep, over),
        n_left_out=len(sweep.ranking) - len(best),
    )


def _collect_values(record: TrialRecord) -> dict[str, Cell]:
    """Collect a trial's values by name."""
    score = {METRIC_NAMES["score"]: record.metrics.get("score")}
    metrics = {METRIC_NAMES.get(key, key): value for key, value in record.metrics.items() if key != "score"}
    curve = {
        f"{name} after epoch {point['epoch']:.0f}": point[key]
        for name, key in SIDES.items()
        for point in record.curve
        if key in point
    }
    seconds = {"seconds": round(record.ended - record.started, 1)} if record.ended else {}
    return {**score, **record.setting, "seed": record.seed, **metrics, **curve, **seconds}


def _list_values(values: Mapping[str, Cell], names: Sequence[str]) -> list[Cell]:
    last = max(place for place, name in enumerate(names) if values.get(name) is not None)
    return [values.get(name) for name in names[: last + 1]]


def _name_trial(record: TrialRecord) -> str:
    return f"{record.phase} {record.index}: {record.score:.3f}, {format_setting(record.setting)}, seed {record.seed}"


def _choose_two(sweep: ReportData, over: Sequence[TrialRecord]) -> tuple[int, int]:
    """Choose the trials of the best and of the paper's setting on the same seed, else the best two of the search."""
    best = None if sweep.best is None else sweep.best.setting
    repeats = {(r.seed, r.setting == best): place for place, r in enumerate(over) if r.phase == "finalist"}
    seeds = sorted({seed for seed, is_best in repeats if is_best} & {seed for seed, is_best in repeats if not is_best})
    if seeds:
        return repeats[seeds[0], True], repeats[seeds[0], False]
    first, second, *_ = [*(over.index(record) for record in sweep.ranking[:2]), 0, 1]
    return first, second
