"""Compose the shipped configurations once for all tests, since the files do not change while tests run."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig

from eval.shipped_configs import CONFIGS
from sweep.config import yaml_files
from sweep.config.compose import load
from sweep.config.matrix import is_matrix
from sweep.config.schema import SweepConfig

Load: TypeAlias = Callable[[Any, str], ConfigResult]
"""Type of a config source's `load_config`."""
SOURCES = (yaml_files.CheckedFolder, ImportlibResourcesConfigSource)
"""Config sources of the sweeps, and of Hydra's own settings."""
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


def loading_once(load: Load) -> Load:
    """Return a config source's `load_config` that reads each file of Hydra's own and each shipped one once a process.

    Hydra changes what it has loaded, and so gets a copy.
    """
    kept = dict[tuple[str, str], ConfigResult]()

    def loaded(source: ConfigSource, config_path: str) -> ConfigResult:
        if source.provider != "hydra" and Path(source.path) != CONFIGS:
            return load(source, config_path)
        key = (source.provider, config_path)
        if key not in kept:
            kept[key] = load(source, config_path)
        return deepcopy(kept[key])

    return loaded
