"""Datasets, one file each, with `Options` and `load`; the value of `data.source` in a config is the file's name."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar, Literal, Self, TypeAlias

from eval.options import Frozen
from eval.rows.types import Dataset

PaperSplit: TypeAlias = Literal["forget01", "forget05", "forget10"]
"""Column of the paper's table."""

FindCommit: TypeAlias = Callable[[str, str | None], str | None]
"""Function from a repository on the hub and a revision (None: the newest) to a commit (None: not known)."""


class DatasetOptions(Frozen):
    """Options that every dataset has; the class `Options` of its file derives from this one and adds its own."""

    source: str
    """Kind of the dataset: its file in eval/datasets."""
    name: str
    """Name of the dataset in tables and in MLflow."""
    paper_split: PaperSplit | None
    """Column of the paper's table for this dataset, or the one that stands in (null: nothing of the paper)."""
    has_unseen_split: ClassVar[bool] = False
    """True if the option `unseen` names a split that the user may choose."""

    @property
    def is_paper_data(self) -> bool:
        """True if the rows are those of the paper's table, unaltered."""
        return False

    @property
    def model_seed(self) -> int:
        """Seed with which the target and the retain model are made."""
        return 0

    @property
    def has_paraphrases(self) -> bool:
        """True if the score reads paraphrased questions too."""
        return True

    def pin_rows(self, find_commit: FindCommit) -> Self:
        """Return a copy that always has the same rows; a `path` on the hub is pinned by its own `revision`.

        Raises:
            DataError: the rows cannot be loaded.
        """
        return self


def list_names() -> list[str]:
    """List the datasets, sorted."""
    return sorted(module.name for module in iter_modules(__path__))


def load_options(name: str) -> type[DatasetOptions]:
    """Load the class of a dataset's options."""
    options: type[DatasetOptions] = import_module(f"{__name__}.{name}").Options
    return options


def load(config: DatasetOptions) -> Dataset:
    """Load the rows that the configuration names, the same rows for the same configuration.

    Raises:
        DataError: they cannot be loaded.
    """
    rows: Dataset = import_module(f"{__name__}.{config.source}").load(config)
    return rows
