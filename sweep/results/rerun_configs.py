"""Write configurations that run a single setting of a sweep again: the same trial, bit for bit on one machine."""

import shlex
from pathlib import Path

from sweep.config.compose import dump
from sweep.config.schema import SweepConfig
from sweep.config.stored import DEFAULT_STORAGE
from sweep.records import Setting, TrialRecord
from sweep.results.sweep_records import SweepRecords

FILE_COMMENTS = {
    "best.yaml": "The best setting of",
    "found.yaml": "The best setting that the search came to by itself in",
    "paper.yaml": "The paper's setting in",
}
"""Start of the comment in each file, by file name; the last two exist only where the paper has a setting."""


def single_trial_configs(sweep: SweepRecords) -> dict[str, str]:
    """Return the texts of the files in `FILE_COMMENTS`: configurations of one trial, same seed, no repeats."""
    best, tuned = None if sweep.best is None else sweep.best.setting, sweep.paper
    named = {"best.yaml": best} | ({} if tuned is None else {"found.yaml": sweep.found, "paper.yaml": tuned})
    texts = {}
    for file, setting in named.items():
        if setting is None:
            continue
        trial = sweep.find_search_trial(setting)
        seed = sweep.config.seed if trial is None else trial.seed
        again = dump(restrict_to_setting(sweep.config, setting, seed))
        texts[file] = f"# {FILE_COMMENTS[file]} {sweep.name}: {_describe_trial(trial)}.\n{again}"
    return texts


def format_launch_command(file: Path) -> str:
    """Return the command that runs a configuration file."""
    return f"python -m sweep.launch {shlex.quote(str(file))}"


def _describe_trial(record: TrialRecord | None) -> str:
    """Return the number and the score of a search trial, for a comment."""
    if record is None:
        return "no trial of the search"
    return f"trial {record.index}, score {record.score!r} (lower is better)"


def restrict_to_setting(config: SweepConfig, setting: Setting, seed: int) -> SweepConfig:
    """Return the sweep's configuration with everything fixed to one setting and seed, and nothing to search."""
    one = {"sampler": "random", "trials": 1, "hours": None, "warm_start": (), "stop": "none", "race": 0}
    changed = {
        "space": {},
        "fixed": setting,
        "search": config.search.model_dump() | one,
        "seed": seed,
        "seeds": 0,
        "ledger": None,  # a database of its own
        "registry": None,
    }
    return SweepConfig.model_validate(config.model_dump() | changed)


def format_shared_config(config: SweepConfig, record: TrialRecord) -> str:
    """Return the configuration of one trial for readers on other machines: without this one's folders and cluster."""
    alone = restrict_to_setting(config, record.setting, record.seed)
    elsewhere = {"storage": DEFAULT_STORAGE, "artifacts": None}
    cluster = alone.cluster.model_copy(update={"address": None})
    return dump(alone.model_copy(update=elsewhere | {"cluster": cluster}))
