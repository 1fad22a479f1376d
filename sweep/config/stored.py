"""The sweeps that a storage holds: each is a folder with the resolved configuration in it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config.compose import load, read, valid_name
from sweep.config.messages import nearest
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError

if TYPE_CHECKING:
    pass


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


STORAGE = Path("runs")
"""Where `resumed` looks for sweeps, in the working directory: the same as in configs/base.yaml."""


def where(storage: Path, name: str) -> str:
    """A sweep as commands take it: its name, and its storage where that is not the default one."""
    return name if storage == STORAGE.absolute() else f"{name} {shlex.quote(f'storage={storage}')}"


def storage_of(words: Sequence[str], command: str) -> Path:
    """The storage that the only word allowed beside a sweep's name gives, `storage=DIR`; else the default one.

    Raises:
        ConfigError: there is another word.
    """
    others = [word for word in words if not word.startswith("storage=")]
    if others:
        raise ConfigError(
            f"{command} takes the sweep's own configuration and only storage=DIR beside: not {others[0]!r}."
        )
    return Path(words[-1].removeprefix("storage=") if words else STORAGE).absolute()
