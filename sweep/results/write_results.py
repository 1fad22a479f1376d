"""Write the files of a sweep and of a comparison from the records alone: the same records yield the same bytes."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sweep.atomic_io import put
from sweep.config.schema import SweepConfig
from sweep.records import Logged, Record
from sweep.results.comparison import ALPHA, WINS, Standing, standings
from sweep.results.csv_tables import comparison_csv, finalists_csv, times_csv, trials_csv
from sweep.results.recovery import Recovery, recovery
from sweep.results.rerun_configs import alone, command
from sweep.results.statistics import Difference, Finalist, Sweep, best, finalists, trial_of
from sweep.search.paper import paper_setting, stand_in
from sweep.search.queue import searched


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Durations of a sweep in seconds: its preparation, its trials, and the whole command."""

    prepare: float
    sweep: float
    total: float


def write(folder: Path, config: SweepConfig, records: Sequence[Record], *, seconds: Seconds, logged: Logged) -> None:
    """Write the files of a sweep, each atomically: into a temporary file that is then renamed.

    They are trials.csv, finalists.csv, times.csv, summary.json, and the configurations of `rerun_configs`.

    Args:
        folder: the sweep's folder, which exists; its name is the sweep's.
        config: the sweep.
        records: its trials, in any order.
        seconds: its durations.
        logged: the place of its MLflow runs.
    """
    summary = summarise(folder.name, config, records, seconds=seconds, logged=logged)
    put(folder / "trials.csv", trials_csv(records))
    put(folder / "finalists.csv", finalists_csv(config, records))
    put(folder / "times.csv", times_csv(records))
    put(folder / "summary.json", _json(summary))
    for name, text in alone(folder.name, config, records).items():
        put(folder / name, text)


def write_comparison(folder: Path, sweeps: Sequence[Sweep]) -> None:
    """Write comparison.csv and comparison.json.

    Args:
        folder: the folder for the files, which exists.
        sweeps: the sweeps to compare.
    """
    groups = standings(sweeps)
    put(folder / "comparison.csv", comparison_csv([one for group in groups for one in group]))
    put(folder / "comparison.json", _json({"alpha": ALPHA, "correction": "holm", "groups": [*map(_group, groups)]}))


def summarise(
    name: str, config: SweepConfig, records: Sequence[Record], *, seconds: Seconds, logged: Logged
) -> dict[str, object]:
    """Build the content of summary.json; numbers that are not finite become null only when it is written."""
    states = [record.state for record in records if record.phase == "search"]
    counts = {state: states.count(state) for state in ("finished", "failed", "pruned")}
    return {
        "name": name,
        "objective": config.objective,
        "model": config.model.name,
        "data": config.data.name,
        "recipe": config.recipe,
        "score": {"name": "score", "tau": config.score.tau, "direction": "minimize"},
        "best": _trial(best(records)),
        "paper": _paper(config, records),
        "recovery": _recovery(recovery(config, records)),
        "again": {Path(file).stem: command(config.storage / name / file) for file in alone(name, config, records)},
        "finalists": [_finalist(one) for one in finalists(config, records)],
        "trials": {"planned": searched(config, paper_setting(config))} | counts,
        "seconds": asdict(seconds),
        "mlflow": asdict(logged),
    }


def _trial(record: Record | None) -> dict[str, object] | None:
    return None if record is None else {"params": record.setting, "metrics": record.metrics, "trial": record.index}


def _paper(config: SweepConfig, records: Iterable[Record]) -> dict[str, object] | None:
    """Encode the paper's setting; its metrics are null where the search did not run it."""
    setting = paper_setting(config)
    if setting is None:
        return None
    known: dict[str, object] = {"params": setting, "metrics": None, "trial": None, "stand_in": stand_in(config)}
    return known | (_trial(trial_of(setting, records)) or {})


def _recovery(one: Recovery | None) -> dict[str, object] | None:
    return None if one is None else asdict(one) | {"difference": _difference(one.difference), "sentence": one.sentence}


def _difference(one: Difference | None) -> dict[str, object] | None:
    return None if one is None else asdict(one) | {"reach": one.reach}


def _finalist(one: Finalist) -> dict[str, object]:
    return {
        "label": one.label,
        "params": one.setting,
        "scores": {str(seed): score for seed, score in one.scores.items()},
        "mean": one.mean,
        "std": one.std,
        "difference": _difference(one.difference),
        "verdict": one.verdict or None,
    }


def _group(group: Sequence[Standing]) -> dict[str, object]:
    """Encode the sweeps on one model and one dataset, with the winner's name."""
    return {
        "model": group[0].model,
        "data": group[0].data,
        "winner": next((one.name for one in group if one.verdict == WINS), None),
        "sweeps": [_standing(one) for one in group],
    }


def _standing(one: Standing) -> dict[str, object]:
    own = {"difference": _difference(one.difference), "recovery": _recovery(one.recovery)}
    return asdict(one) | own


def _json(value: object) -> str:
    return json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    """Replace numbers that are not finite by None, because JSON has none, in nested mappings and lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
