"""The shipped configurations for the tests: the files do not change while tests run, so that each is composed once."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path

from omegaconf import DictConfig

from eval.shipped_configs import CONFIGS
from sweep.config import yaml_files
from sweep.config.compose import load
from sweep.config.matrix import is_matrix
from sweep.config.schema import SweepConfig

SWEEPS = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "base" and not is_matrix(path))
"""The names of the shipped sweeps."""


def shipped(name: str, *overrides: str) -> SweepConfig:
    """A shipped sweep with overrides."""
    return load(CONFIGS / f"{name}.yaml", overrides)


def composed(folders: Sequence[Path], name: str, choices: Sequence[str]) -> DictConfig:
    """The same as `yaml_files.composed` gives; what shipped files alone say together is composed once a process."""
    if {*folders} == {CONFIGS}:
        return deepcopy(_once(name, tuple(choices)))
    return yaml_files.composed(folders, name, choices)


@cache
def _once(name: str, choices: tuple[str, ...]) -> DictConfig:
    return yaml_files.composed([CONFIGS, CONFIGS], name, choices)
