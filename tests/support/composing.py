"""The shipped configurations for the tests: the files do not change while tests run, so that each is composed once."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path

from omegaconf import DictConfig

from sweep import yamls
from sweep.compose import SHIPPED, load
from sweep.config import SweepConfig
from sweep.matrix import is_matrix

SWEEPS = sorted(path.stem for path in SHIPPED.glob("*.yaml") if path.stem != "base" and not is_matrix(path))
"""The names of the shipped sweeps."""


def shipped(name: str, *overrides: str) -> SweepConfig:
    """A shipped sweep with overrides."""
    return load(SHIPPED / f"{name}.yaml", overrides)


def composed(folders: Sequence[Path], name: str, choices: Sequence[str]) -> DictConfig:
    """The same as `sweep.yamls.composed` gives; what shipped files alone say together is composed once a process."""
    if {*folders} == {SHIPPED}:
        return deepcopy(_once(name, tuple(choices)))
    return yamls.composed(folders, name, choices)


@cache
def _once(name: str, choices: tuple[str, ...]) -> DictConfig:
    return yamls.composed([SHIPPED, SHIPPED], name, choices)
