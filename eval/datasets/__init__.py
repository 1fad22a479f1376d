"""Datasets, one file each; the value of `data.source` in a config is the file's name."""

from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from eval.rows.types import DataError, Dataset


class DatasetOptions(Protocol):
    """Options that every dataset has; each file declares the further options of its `load` in its own protocol."""

    @property
    def source(self) -> str:
        """Name of a file in this folder."""


def load(config: DatasetOptions) -> Dataset:
    """Load the rows that the configuration names, the same rows for the same configuration.

    Raises:
        DataError: no file has that name, or its rows cannot be loaded.
    """
    names = sorted(module.name for module in iter_modules(__path__))
    if config.source not in names:
        near = get_close_matches(config.source, names, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise DataError(f"data.source={config.source}: no such dataset, there are {', '.join(names)}{hint}")
    rows: Dataset = import_module(f"{__name__}.{config.source}").load(config)
    return rows
