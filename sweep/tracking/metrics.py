"""Metrics of MLflow runs: of a trial after each epoch and at its end, of a sweep after each finished trial."""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from mlflow.entities import Metric

from sweep.records import GEffect, TrialRecord

FINISHED_TRIALS = "finished_trials"
"""Metric that counts the finished trials of all phases."""
BEST_SCORE = "best_score"
"""Metric that is the lowest score of a search trial so far; scores of fresh seeds are no part of it."""


def build_progress(records: Iterable[TrialRecord]) -> list[list[Metric]]:
    """Build the metrics after each finished trial, in the order in which the trials ended; the step counts them.

    Times are the records' own, so that MLflow drops what it has already.
    """
    finished = sorted(
        (record for record in records if record.state == "finished"), key=lambda r: (r.ended, r.phase, r.index)
    )
    scores = [record.score if record.phase == "search" else float("inf") for record in finished]
    return [
        [
            Metric(key, value, to_milliseconds(record.ended), step)
            for key, value in ((FINISHED_TRIALS, float(step)), (BEST_SCORE, best))
            if value < float("inf")
        ]
        for step, (record, best) in enumerate(zip(finished, accumulate(scores, min), strict=True), start=1)
    ]


def build_epoch_metrics(record: TrialRecord, point: Mapping[str, float]) -> list[Metric]:
    """Return the metrics of one epoch; their timestamp depends on the epoch alone, so that MLflow drops repeats."""
    step = int(point["epoch"])
    values = {key: value for key, value in point.items() if key != "epoch"}
    return build_metrics(values, step=step, timestamp=to_milliseconds(record.started) + step)


def build_effect_metrics(record: TrialRecord, first: int = 0) -> list[Metric]:
    """Return the metrics of a trial's gradient effects from the one with this index on; their step counts its steps."""
    began = to_milliseconds(record.started)
    return [
        metric
        for effect in record.g_effects[first:]
        for metric in build_metrics(_name_effects(effect), step=effect["step"], timestamp=began + effect["step"])
    ]


def _name_effects(effect: GEffect) -> dict[str, float]:
    """Return the effects by the name of their metric."""
    values: dict[str, float] = {}
    for one in effect["effects"]:
        name = f"g_effect/{one['risk']}"
        if one["term"] == "objective":
            values |= {name: one["whole"]} | {f"{name}_{part}": value for part, value in one["parts"].items()}
        else:
            values |= {f"{name}_retain_term": one["whole"], f"{name}_all_terms": values[name] + one["whole"]}
    return values


def build_metrics(values: Mapping[str, float], *, step: int, timestamp: int) -> list[Metric]:
    """Convert the values to MLflow metrics; the timestamp is in milliseconds."""
    return [Metric(key, float(value), timestamp, step) for key, value in values.items()]


def to_milliseconds(seconds: float) -> int:
    """Convert seconds to whole milliseconds, MLflow's unit of time."""
    return round(seconds * 1000)
