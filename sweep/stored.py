"""The sweeps that a storage holds: each a folder with the resolved configuration in it; how its files are written."""

import os
from pathlib import Path

from sweep.compose import load, read, valid_name
from sweep.config import ConfigError, SweepConfig
from sweep.explain import nearest

CONFIG = "config.yaml"
"""The resolved configuration in a sweep's folder."""
LIST = "sweeps.yaml"
"""The names of the sweeps, in the folder of a comparison."""


def config_of(storage: Path, name: str) -> SweepConfig:
    """The configuration of a sweep that is there already.

    Raises:
        ConfigError: there is no such sweep.
    """
    file = storage / valid_name(name) / CONFIG
    if not file.is_file():
        there = [path.parent.name for path in storage.glob(f"*/{CONFIG}")]
        raise ConfigError(f"{name}: {storage} has no sweep of this name{nearest(name, there)}.")
    # The folder may have been moved since.
    return load(file).model_copy(update={"storage": storage})


def names_of(storage: Path, name: str) -> list[str]:
    """The names of the sweeps of a comparison; of anything else the name itself.

    Raises:
        ConfigError: no sweep may have this name, or the comparison's list of them is none.
    """
    file = storage / valid_name(name) / LIST
    if not file.is_file():
        return [name]
    sweeps = read(file).get("sweeps")
    if not isinstance(sweeps, list) or not sweeps or not all(isinstance(own, str) for own in sweeps):
        raise ConfigError(f"{file}: sweeps must be a list of the comparison's sweeps.")
    return sweeps


def make(folder: Path, file: str, text: str) -> None:
    """Make a folder with a file in it, both or none; raises OSError where there is a folder of this name."""
    made = folder.with_name(f".{folder.name}.new")  # that of a process which died here is used again
    made.mkdir(parents=True, exist_ok=True)
    (made / file).write_text(text, encoding="utf-8")
    made.rename(folder)


def put(path: Path, content: str | bytes) -> None:
    """Write a file beside, then rename it: whoever reads it, whenever the writer dies, has the old or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
