"""TOFU's rows (Maini et al. 2024, arXiv 2401.06121), read from a local folder or the hub.

Forget rows are those of `forgetNN_perturbed`, which has the variants. Holdout rows are those of `retain_perturbed`, the
first 400 rows of the retain split with variants; the other rows of that split are the retain rows. Splits with variants
are checked against those without. Real authors and world facts are read if the folder or the repository has them.
"""

from collections.abc import Sequence
from dataclasses import replace
from os.path import expanduser
from pathlib import Path
from typing import ClassVar, Literal

from eval.datasets import DatasetOptions, PaperSplit
from eval.models import hub
from eval.options import Count
from eval.rows.parse import PERTURBED, PLAIN, VARIED, Columns, Split, check_disjoint, check_unique, parse_rows
from eval.rows.table_files import describe_missing_table, find_table, read_table
from eval.rows.types import DataError, Dataset, Row, shorten_value


class Options(DatasetOptions):
    """Location of TOFU; `paper_split` is the split to be forgotten."""

    source: Literal["tofu"]
    """Kind of the dataset: its file in eval/datasets."""
    paper_split: PaperSplit
    """Split that is forgotten, and column of the paper's table."""
    path: str
    """Hub id, or a folder with a table for each split: SPLIT.json, .jsonl, .csv, .parquet, or a folder SPLIT."""
    revision: str | None
    """Commit on the hub (null: the newest when a sweep begins)."""
    unseen: str | None
    """Split of rows that no model has seen, disjoint from `full` (null: no unseen rows)."""
    max_retain: Count | None
    """Maximum number of retain rows (null: all)."""
    max_holdout: Count | None
    """Maximum number of holdout rows (null: all)."""
    has_unseen_split: ClassVar[bool] = True

    @property
    def is_paper_data(self) -> bool:
        """True if no row is left out."""
        return self.max_retain is None and self.max_holdout is None


def load(config: Options) -> Dataset:
    """Load the rows of TOFU, divided into parts for the case that `paper_split` is forgotten.

    Raises:
        DataError: the folder, the hub, a split, a column or a value is missing or wrong, rows that should agree differ,
            or rows that should differ are the same.
    """
    forget = _read_split(config, f"{config.paper_split}_perturbed", VARIED)
    holdout = _read_split(config, "retain_perturbed", VARIED)
    retain = _read_split(config, f"retain{100 - int(config.paper_split.removeprefix('forget'))}", PLAIN)
    _check_same(_read_split(config, config.paper_split, PLAIN), forget)
    _check_same(replace(retain, rows=retain.rows[: len(holdout.rows)]), holdout)
    check_unique(forget)
    check_unique(retain)
    check_disjoint(forget, retain, "a forget")
    kept = retain.rows[len(holdout.rows) :]
    if not kept:
        raise DataError(f"{retain.name} has no row beyond the {len(holdout.rows)} that {holdout.name} holds out")
    return Dataset(
        forget=forget.rows,
        retain=kept[: config.max_retain],
        holdout=holdout.rows[: config.max_holdout],
        unseen=_read_unseen(config, forget, retain),
        real_authors=_read_general(config, "real_authors_perturbed"),
        world_facts=_read_general(config, "world_facts_perturbed"),
    )


def _read_unseen(config: Options, *known: Split) -> tuple[Row, ...]:
    if config.unseen is None:
        return ()
    unseen = _read_split(config, config.unseen, PLAIN)
    for split in (_read_split(config, "full", PLAIN), *known):
        check_disjoint(unseen, split, "an unseen")
    return unseen.rows


def _read_general(config: Options, name: str) -> tuple[Row, ...]:
    """Read a split of general knowledge; return no rows if there is none."""
    return _read_split(config, name, PERTURBED).rows if _has_split(config, name) else ()


def _check_same(plain: Split, varied: Split) -> None:
    """Check that two splits have the same questions and answers; only one of them has variants."""
    if len(plain.rows) != len(varied.rows):
        raise DataError(f"{varied.name} has {len(varied.rows)} rows, {plain.name} has {len(plain.rows)} of them")
    for number, (row, other) in enumerate(zip(plain.rows, varied.rows, strict=True), 1):
        if (row.question, row.answer) != (other.question, other.answer):
            raise DataError(
                f"{varied.name} row {number} is not row {number} of {plain.name}: {shorten_value(other.question)}"
            )


def _read_split(config: Options, name: str, contents: Sequence[str]) -> Split:
    folder = _find_folder(config)
    file = find_table(folder, name)
    if file is None:
        raise DataError(f"data.path={config.path}: {describe_missing_table(folder, name)}")
    if not (records := read_table(file)):
        raise DataError(f"data.path={config.path}: {name} has no rows")
    return Split(name=name, rows=parse_rows(f"{file}: {name}", records, contents, Columns()))


def _has_split(config: Options, name: str) -> bool:
    """Return True if the folder or the repository has the split."""
    return find_table(_find_folder(config), name) is not None


def _find_folder(config: Options) -> Path:
    """Return the folder of the files: the given one, or that of the hub's cache."""
    folder = Path(expanduser(config.path))
    if folder.is_dir():
        return folder
    if not hub.is_repo_id(config.path, "dataset"):
        raise DataError(f"data.path={config.path}: there is no such folder")
    try:
        return hub.fetch_files(config.path, "dataset", config.revision, ["*.json"])
    except DataError as error:
        raise DataError(f"data.path={error}; data.path=FOLDER reads FOLDER/{config.paper_split}.json") from error
