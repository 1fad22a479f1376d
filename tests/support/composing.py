"""Compose the shipped configurations once for all tests, since the files do not change while tests run."""

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
"""Names of the shipped sweeps."""


def load_shipped(name: str, *overrides: str) -> SweepConfig:
    """Load a shipped sweep with overrides."""
    return load(CONFIGS / f"{name}.yaml", overrides)


def composed(file: Path, choices: Sequence[str]) -> DictConfig:
    """Compose as `yaml_files` does, but only once a process where the shipped files alone are involved."""
    if file.parent == CONFIGS:
        return deepcopy(_once(file.name, tuple(choices)))
    return yaml_files.compose_yaml(file, choices)


@cache
def _once(name: str, choices: tuple[str, ...]) -> DictConfig:
    return yaml_files.compose_yaml(CONFIGS / name, choices)
