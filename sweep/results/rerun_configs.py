"""Write configurations that run a single setting of a sweep again: the same trial, bit for bit on one machine."""

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
"""Start of the comment in each file, by file name; the last two exist only where the paper has a setting."""


def alone(name: str, config: SweepConfig, records: Sequence[Record]) -> dict[str, str]:
    """Return the texts of the files in `FILE_COMMENTS`: configurations of one trial, same seed, no repeats."""
    tuned = paper_setting(config)
    ran = {"best.yaml": best(records)} | ({} if tuned is None else {"found.yaml": found(config, records)})
    settings = {file: record.setting for file, record in ran.items() if record is not None}
    settings |= {} if tuned is None else {"paper.yaml": tuned}
    return {
        file: f"# {HEADS[file]} {name}: {_told(trial_of(setting, records))}.\n{dump(_only(config, setting))}"
        for file, setting in settings.items()
    }


def command(file: Path) -> str:
    """Return the command that runs a configuration file."""
    return f"python -m sweep.launch {shlex.quote(str(file))}"


def _told(record: Record | None) -> str:
    """Return the number and the score of a search trial, for a comment."""
    if record is None:
        return "no trial of the search"
    return f"trial {record.index}, score {record.score!r} (lower is better)"


def _only(config: SweepConfig, setting: Setting) -> SweepConfig:
    """Return the sweep's configuration with everything fixed to one setting and nothing to search."""
    one = {"sampler": "random", "trials": 1, "hours": None, "warm_start": (), "stop": "none"}
    changed = {
        "space": {},
        "fixed": setting,
        "search": config.search.model_dump() | one,
        "seeds": 0,
        "ledger": None,  # a database of its own
    }
    return SweepConfig.model_validate(config.model_dump() | changed)
