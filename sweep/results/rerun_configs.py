"""Configurations that run one setting of a sweep again, alone: the same trial, bit for bit on the same machine."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from sweep.config.compose import dump
from sweep.config.schema import SweepConfig
from sweep.records import Record, Setting
from sweep.results.statistics import best, found, trial_of
from sweep.search.paper import paper_setting

HEADS = {
    "best.yaml": "The best setting of",
    "found.yaml": "The best setting that the search came to by itself in",
    "paper.yaml": "The paper's setting in",
}
"""The files, and how their comments begin; the last two are there where the paper has a setting."""


def alone(name: str, config: SweepConfig, records: Sequence[Record]) -> dict[str, str]:
    """The texts of `HEADS`, by file name: whole configurations of one trial with the search's seed, and no repeats."""
    tuned = paper_setting(config)
    ran = {"best.yaml": best(records)} | ({} if tuned is None else {"found.yaml": found(config, records)})
    settings = {file: record.setting for file, record in ran.items() if record is not None}
    settings |= {} if tuned is None else {"paper.yaml": tuned}
    return {
        file: f"# {HEADS[file]} {name}: {_told(trial_of(setting, records))}.\n{dump(_only(config, setting))}"
        for file, setting in settings.items()
    }


def command(file: Path) -> str:
    """What runs the file."""
    return f"python -m sweep.launch {shlex.quote(str(file))}"


def _told(record: Record | None) -> str:
    if record is None:
        return "no trial of the search"
    return f"trial {record.index}, score {record.score!r} (lower is better)"


def _only(config: SweepConfig, setting: Setting) -> SweepConfig:
    """The sweep with nothing to search."""
    one = {"sampler": "random", "trials": 1, "hours": None, "warm_start": (), "stop": "none"}
    changed = {
        "space": {},
        "fixed": setting,
        "search": config.search.model_dump() | one,
        "seeds": 0,
        "ledger": None,  # its own
    }
    return SweepConfig.model_validate(config.model_dump() | changed)
