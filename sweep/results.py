"""The files and the tables of a sweep, made from its records alone: the same records give the same bytes."""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.comparison import Finalist, finalists, ranked
from sweep.compose import dump
from sweep.config import SweepConfig
from sweep.record import Logged, Record, Setting, Value
from sweep.recovery import paper_setting, stand_in

SHOWN = {
    "forget ES": "forget/es",
    "forget ES, paraphrased": "forget/es_paraphrase",
    "retain ES": "retain/es",
    "retain ES, paraphrased": "retain/es_paraphrase",
    "score": "score",
    "mix": "mix",
}
"""Lines of the printed table and their metrics."""
TIMES = ("phase", "index", "seconds", "started", "ended", "worker")
"""Columns of times.csv."""


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """How long a sweep took: its preparation, its trials, and all of it."""

    prepare: float
    sweep: float
    total: float


def write(folder: Path, config: SweepConfig, records: Sequence[Record], *, seconds: Seconds, logged: Logged) -> None:
    """Write trials.csv, finalists.csv, times.csv, summary.json and, where a trial finished, best.yaml.

    Each is whole at every moment: it is written beside and then renamed.

    Args:
        folder: the sweep's folder, which is there; its name is the sweep's.
        config: the sweep.
        records: its trials, in any order.
        seconds: how long it took.
        logged: where its MLflow runs are.
    """
    summary = summarise(folder.name, config, records, seconds=seconds, logged=logged)
    _put(folder / "trials.csv", trials_csv(records))
    _put(folder / "finalists.csv", finalists_csv(config, records))
    _put(folder / "times.csv", times_csv(records))
    _put(folder / "summary.json", json.dumps(_plain(summary), indent=2, allow_nan=False) + "\n")
    winner = best(records)
    if winner is not None:
        _put(folder / "best.yaml", best_yaml(folder.name, config, winner))


def render(config: SweepConfig, records: Sequence[Record]) -> RenderableType:
    """What is printed at the end: the best setting beside the paper's, and the repeats on fresh seeds."""
    winner, repeated = best(records), finalists(config, records)
    if winner is None:
        return Text("No trial finished.")
    return Group(_best_table(config, records, winner), *([_finalist_table(repeated)] if repeated else []))


def best(records: Iterable[Record]) -> Record | None:
    """The finished search trial with the lowest score, of equal ones the first; None where none finished."""
    return next(iter(ranked(records)), None)


def trials_csv(records: Iterable[Record]) -> str:
    """One line for each search trial that is over: its setting and final metrics, no times."""
    over = [record for record in _over(records) if record.phase == "search"]
    return _lines([_columns(over), *_values(over)])


def finalists_csv(config: SweepConfig, records: Sequence[Record]) -> str:
    """One line for each repeat that is over, as in trials.csv, after the label of its setting."""
    over = [record for record in _over(records) if record.phase == "finalist"]
    repeated = finalists(config, records)
    labels = [next(one.label for one in repeated if one.setting == record.setting) for record in over]
    rows = zip(["finalist", *labels], [_columns(over), *_values(over)], strict=True)
    return _lines([label, *row] for label, row in rows)


def times_csv(records: Iterable[Record]) -> str:
    """One line for each trial that is over: when (UTC) and where it ran, and for how many seconds."""
    rows = [
        (r.phase, str(r.index), repr(round(r.ended - r.started, 3)), _utc(r.started), _utc(r.ended), r.worker)
        for r in _over(records)
    ]
    return _lines([TIMES, *rows])


def best_yaml(name: str, config: SweepConfig, winner: Record) -> str:
    """A whole configuration that runs the winner's setting again, alone, with the same seed."""
    alone = config.model_dump() | {
        "space": {},
        "fixed": winner.setting,
        "search": config.search.model_dump() | {"trials": 1},
        "seed": winner.seed,
        "seeds": 0,
        "ledger": None,  # its own; and a database's URL may hold a password
    }
    comment = f"# The best setting of {name}: trial {winner.index}, score {winner.score!r} (lower is better).\n"
    return comment + dump(SweepConfig.model_validate(alone))


def summarise(
    name: str, config: SweepConfig, records: Sequence[Record], *, seconds: Seconds, logged: Logged
) -> dict[str, object]:
    """What came of the sweep, as in summary.json, where a number that is not finite becomes null."""
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
        "finalists": [_finalist(one) for one in finalists(config, records)],
        "trials": {"planned": config.search.trials} | counts,
        "seconds": asdict(seconds),
        "mlflow": asdict(logged),
    }


def _trial(record: Record | None) -> dict[str, object] | None:
    return None if record is None else {"params": record.setting, "metrics": record.metrics, "trial": record.index}


def _paper(config: SweepConfig, records: Iterable[Record]) -> dict[str, object] | None:
    """The paper's setting; its metrics are null where the search did not run it."""
    setting = paper_setting(config)
    if setting is None:
        return None
    known: dict[str, object] = {"params": setting, "metrics": None, "trial": None, "stand_in": stand_in(config)}
    return known | (_trial(_trial_of(setting, records)) or {})


def _finalist(one: Finalist) -> dict[str, object]:
    return {
        "label": one.label,
        "params": one.setting,
        "scores": {str(seed): score for seed, score in one.scores.items()},
        "mean": one.mean,
        "std": one.std,
        "difference": None if one.difference is None else asdict(one.difference),
        "verdict": one.verdict or None,
    }


def _best_table(config: SweepConfig, records: Sequence[Record], winner: Record) -> Table:
    """A line for each hyper-parameter and metric, a column for each setting."""
    sides: dict[str, tuple[Setting, Record | None]] = {"best": (winner.setting, winner)}
    paper = paper_setting(config)
    if paper is not None:
        label = f"paper, {config.data.paper_split}{' (stand-in)' if stand_in(config) else ''}"
        sides[label] = (paper, _trial_of(paper, records))
    table = Table(title=f"{config.objective} on {config.model.name}, {config.data.name}", title_justify="left")
    table.add_column("")
    for label in sides:
        table.add_column(label, justify="right")
    for name in winner.setting:
        table.add_row(name, *(Text(_short(setting.get(name, "-"))) for setting, _ in sides.values()))
    table.add_section()
    for name, key in SHOWN.items():
        table.add_row(name, *(_shown(record, key) for _, record in sides.values()))
    return table


def _finalist_table(repeated: Sequence[Finalist]) -> Table:
    table = Table(title="score on fresh seeds", title_justify="left")
    for header in ("", "setting", "mean ± std (seeds)", "above the best, 95 %", "wins"):
        table.add_column(header)
    for one in repeated:
        setting = "\n".join(f"{name}={_short(value)}" for name, value in one.setting.items())
        spread = f"{one.mean:.3f} ± {one.std:.3f} ({len(one.scores)})"
        gap = one.difference
        above = "" if gap is None else f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        table.add_row(one.label, Text(setting), spread, Text(above), one.verdict)
    return table


def _shown(record: Record | None, key: str) -> str:
    value = None if record is None else record.metrics.get(key)
    return "-" if value is None else f"{value:.3f}"


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _over(records: Iterable[Record]) -> list[Record]:
    """The trials that are over, search first, by index."""
    return sorted((r for r in records if r.state != "running"), key=lambda r: (r.phase != "search", r.index))


def _trial_of(setting: Setting, records: Iterable[Record]) -> Record | None:
    """The finished search trial of a setting."""
    return next((record for record in ranked(records) if record.setting == setting), None)


def _columns(records: Sequence[Record]) -> list[str]:
    return ["index", *_params(records), "seed", "state", *_metrics(records), "reason"]


def _values(records: Sequence[Record]) -> list[list[str]]:
    """A line for each record, with an empty cell for what it has not."""
    return [
        [
            str(record.index),
            *(_cell(record.setting.get(key, "")) for key in _params(records)),
            str(record.seed),
            record.state,
            *(_cell(record.metrics.get(key, "")) for key in _metrics(records)),
            record.reason,
        ]
        for record in records
    ]


def _params(records: Iterable[Record]) -> list[str]:
    return sorted({key for record in records for key in record.setting})


def _metrics(records: Iterable[Record]) -> list[str]:
    return sorted({key for record in records for key in record.metrics})


def _cell(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _plain(value: object) -> object:
    """The value for JSON, which has no word for a number that is not finite: null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _put(path: Path, text: str) -> None:
    """Write a file beside, then rename it: a reader sees the old one or the new one, whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8", newline="")
    beside.replace(path)
