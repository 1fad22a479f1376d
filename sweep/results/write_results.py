"""Write the files of a sweep and of a comparison from the records alone: the same records yield the same bytes."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.atomic_io import atomic_write
from sweep.records import TrackingRun, TrialRecord
from sweep.results.comparison import SIGNIFICANCE_LEVEL, WINS, ObjectiveResult, compare_objectives
from sweep.results.csv_tables import format_comparison_csv, format_repeats_csv, format_times_csv, format_trials_csv
from sweep.results.recovery import Recovery, judge_recovery
from sweep.results.rerun_configs import format_launch_command, single_trial_configs
from sweep.results.saved_models import SavedModel
from sweep.results.statistics import (
    Finalist,
    PairedDifference,
    describe_place,
    summarize_finalists,
    summarize_race,
)
from sweep.results.sweep_records import SweepRecords
from sweep.search.paper import is_stand_in
from sweep.search.queue import count_search_trials


@dataclass(frozen=True, kw_only=True)
class SweepSeconds:
    """Durations of a sweep in seconds: its preparation, its trials, and the whole command."""

    prepare: float
    sweep: float
    total: float


def write_sweep_files(
    folder: Path,
    sweep: SweepRecords,
    *,
    seconds: SweepSeconds,
    logged: TrackingRun,
    target: Mapping[str, object],
    models: Sequence[SavedModel] = (),
) -> None:
    """Write the files of a sweep, each atomically: into a temporary file that is then renamed.

    They are trials.csv, race.csv, finalists.csv, times.csv, summary.json, and the configurations of `rerun_configs`.

    Args:
        folder: the sweep's folder, which exists.
        sweep: the sweep with its trials.
        seconds: its durations.
        logged: the place of its MLflow runs.
        target: the metrics of its target, as summary.json shows them.
        models: the models in its folder.
    """
    summary = build_summary(sweep, seconds=seconds, logged=logged, target=target, models=models)
    atomic_write(folder / "trials.csv", format_trials_csv(sweep.records))
    atomic_write(folder / "race.csv", format_repeats_csv(sweep, "race"))
    atomic_write(folder / "finalists.csv", format_repeats_csv(sweep, "finalist"))
    atomic_write(folder / "times.csv", format_times_csv(sweep.records))
    atomic_write(folder / "summary.json", _format_json(summary))
    for name, text in single_trial_configs(sweep).items():
        atomic_write(folder / name, text)


def write_comparison(folder: Path, sweeps: Sequence[SweepRecords]) -> None:
    """Write comparison.csv and comparison.json.

    Args:
        folder: the folder for the files, which exists.
        sweeps: the sweeps to compare.
    """
    groups = compare_objectives(sweeps)
    atomic_write(folder / "comparison.csv", format_comparison_csv([one for group in groups for one in group]))
    atomic_write(
        folder / "comparison.json",
        _format_json({"alpha": SIGNIFICANCE_LEVEL, "correction": "holm", "groups": [*map(_encode_group, groups)]}),
    )


def build_summary(
    sweep: SweepRecords,
    *,
    seconds: SweepSeconds,
    logged: TrackingRun,
    target: Mapping[str, object],
    models: Sequence[SavedModel],
) -> dict[str, object]:
    """Build the content of summary.json; numbers that are not finite become null only when it is written."""
    config = sweep.config
    states = [record.state for record in sweep.records if record.phase == "search"]
    counts = {state: states.count(state) for state in ("finished", "failed", "pruned")}
    return {
        "name": sweep.name,
        "objective": config.objective,
        "model": config.model.name,
        "data": config.data.name,
        "recipe": config.recipe,
        "target": target,
        "score": {"name": "score", "tau": config.score.tau, "direction": "minimize"},
        "best": _encode_trial(sweep.best),
        "paper": _encode_paper(sweep),
        "recovery": _encode_recovery(judge_recovery(sweep)),
        "again": {
            Path(file).stem: format_launch_command(config.storage / sweep.name / file)
            for file in single_trial_configs(sweep)
        },
        "race": _encode_race(sweep),
        "finalists": [_encode_finalist(one) for one in summarize_finalists(sweep)],
        "trials": {"planned": count_search_trials(config)} | counts,
        "models": [model.summary for model in models],
        "seconds": asdict(seconds),
        "mlflow": asdict(logged),
    }


def _encode_trial(record: TrialRecord | None) -> dict[str, object] | None:
    return None if record is None else {"params": record.setting, "metrics": record.metrics, "trial": record.index}


def _encode_paper(sweep: SweepRecords) -> dict[str, object] | None:
    """Encode the paper's setting; its metrics are null where the search did not run it."""
    if sweep.paper is None:
        return None
    known: dict[str, object] = {
        "params": sweep.paper,
        "metrics": None,
        "trial": None,
        "stand_in": is_stand_in(sweep.config),
    }
    return known | (_encode_trial(sweep.find_search_trial(sweep.paper)) or {})


def _encode_recovery(one: Recovery | None) -> dict[str, object] | None:
    return (
        None
        if one is None
        else asdict(one) | {"difference": _encode_difference(one.difference), "sentence": one.sentence}
    )


def _encode_difference(one: PairedDifference | None) -> dict[str, object] | None:
    return None if one is None else asdict(one) | {"reach": one.half_width}


def _encode_race(sweep: SweepRecords) -> dict[str, object] | None:
    """Encode the race: its settings, the winner first, with their scores by race seed; None where there was none."""
    if not sweep.race.seeds:
        return None
    racers = zip(summarize_race(sweep), sweep.race.racers, strict=True)
    return {
        "rounds": sweep.race.n_rounds,
        "racers": [_encode_finalist(one) | {"result": describe_place(sweep.race, racer)} for one, racer in racers],
    }


def _encode_finalist(one: Finalist) -> dict[str, object]:
    return {
        "label": one.label,
        "params": one.setting,
        "scores": {str(seed): score for seed, score in one.scores.items()},
        "mean": one.mean,
        "std": one.std,
        "difference": _encode_difference(one.difference),
        "verdict": one.verdict or None,
    }


def _encode_group(group: Sequence[ObjectiveResult]) -> dict[str, object]:
    """Encode the sweeps on one model and one dataset, with the winner's name."""
    return {
        "model": group[0].model,
        "data": group[0].data,
        "winner": next((one.name for one in group if one.verdict == WINS), None),
        "sweeps": [_encode_objective_result(one) for one in group],
    }


def _encode_objective_result(one: ObjectiveResult) -> dict[str, object]:
    own = {"difference": _encode_difference(one.difference), "recovery": _encode_recovery(one.recovery)}
    return asdict(one) | own


def _format_json(value: object) -> str:
    return json.dumps(_replace_non_finite(value), indent=2, allow_nan=False) + "\n"


def _replace_non_finite(value: object) -> object:
    """Replace numbers that are not finite by None, because JSON has none, in nested mappings and lists."""
    if isinstance(value, Mapping):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_non_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
