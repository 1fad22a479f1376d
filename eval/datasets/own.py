"""Rows of the user's own: tables of questions and answers to forget and to retain, in files or on the hub.

Holdout rows have a table of their own, or are drawn from the retain rows. Rows have the variants that their table has.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from random import Random
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator

from eval.datasets import DatasetOptions, FindCommit
from eval.options import Count
from eval.rows.parse import PLAIN, VARIED, Columns, Split, check_columns, check_disjoint, check_unique, parse_rows
from eval.rows.table_files import Record, read_hub_split, read_table
from eval.rows.types import DataError, Dataset

TABLE_KEYS = ("forget", "retain", "holdout", "unseen")
"""Options that may name a table."""
HUB_PATTERN = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[^@:]+))?:(?P<split>[^@:]+)")
"""Pattern of a split on the hub: OWNER/NAME:SPLIT, with its commit OWNER/NAME@COMMIT:SPLIT."""
DEFAULT_HOLDOUT_SHARE = 0.2
MAX_DEFAULT_HOLDOUT = 400
"""Maximum number of questions that are held out where `holdout` is None."""


class Options(DatasetOptions):
    """Tables of the parts: a file, a folder of `Dataset.save_to_disk`, or OWNER/NAME:SPLIT on the hub."""

    source: Literal["own"]
    """Kind of the dataset: its file in eval/datasets."""
    paper_split: None
    """Column of the paper's table, which has none for other rows than its own."""
    forget: str
    """Table of the rows to be forgotten: a file, a folder of `Dataset.save_to_disk`, or OWNER/NAME:SPLIT on the hub."""
    retain: str
    """Table of the rows to be kept."""
    holdout: str | int | float | None
    """A table, or a number or share of the retain rows, drawn by `seed` (null: a fifth of them, at most 400)."""
    unseen: str | None
    """Table of rows that no model has seen (null: no unseen rows)."""
    revision: str | None
    """Hash of the rows, which other rows are refused by (null: those that a sweep begins with)."""
    columns: Columns
    """Names of the tables' columns."""
    seed: int = Field(ge=0, lt=2**31)
    """Seed that draws the holdout rows."""
    max_retain: Count | None
    """Maximum number of retain rows (null: all)."""
    max_holdout: Count | None
    """Maximum number of holdout rows (null: all)."""
    has_unseen_split: ClassVar[bool] = True

    @field_validator("holdout")
    @classmethod
    def _check_holdout(cls, holdout: str | float | None) -> str | float | None:
        if isinstance(holdout, float | int) and not (0 < holdout < 1 or (isinstance(holdout, int) and holdout > 0)):
            raise ValueError("must be a table, a number of rows, or a share of the retain rows between 0 and 1")
        return holdout

    @field_validator(*TABLE_KEYS)
    @classmethod
    def _make_absolute(cls, table: str | float | None) -> str | float | None:
        """Make the path of what exists absolute, so that it does not depend on the working directory."""
        path = os.path.expanduser(table) if isinstance(table, str) else ""
        return os.path.abspath(path) if os.path.exists(path) else table

    @property
    def has_paraphrases(self) -> bool:
        """True if every forget and holdout row has a paraphrased question; the rows are read for it."""
        return load(self).has_paraphrases

    def pin_rows(self, find_commit: FindCommit) -> Self:
        """Return a copy with the commit of each repository and the hash of the rows."""
        found = {key: HUB_PATTERN.fullmatch(str(getattr(self, key))) for key in TABLE_KEYS}
        tables = {key: _pin_table(parts.groupdict(), find_commit) for key, parts in found.items() if parts}
        pinned = self.model_copy(update=tables)
        return pinned.model_copy(update={"revision": _hash_rows(load(pinned))})


def _pin_table(parts: Mapping[str, str], find_commit: FindCommit) -> str:
    commit = find_commit(parts["repository"], parts["revision"])
    return f"{parts['repository']}{f'@{commit}' if commit else ''}:{parts['split']}"


def load(config: Options) -> Dataset:
    """Load the rows of all parts, and check that no question is in two of them.

    Raises:
        DataError: a table, a column or a value is missing or wrong, or rows that should differ are the same.
    """
    forget, retain = _read_split(config, "forget", config.forget), _read_split(config, "retain", config.retain)
    check_disjoint(forget, retain, "a forget")
    if isinstance(config.holdout, str):
        holdout = _read_split(config, "holdout", config.holdout)
        check_disjoint(forget, holdout, "a forget")
        check_disjoint(holdout, retain, "a holdout")
    else:
        retain, holdout = _split_retain(config, retain)
    unseen = () if config.unseen is None else _read_split(config, "unseen", config.unseen).rows
    for known in (forget, retain, holdout):
        check_disjoint(Split(name=str(config.unseen), rows=unseen), known, "an unseen")
    dataset = Dataset(
        forget=forget.rows,
        retain=retain.rows[: config.max_retain],
        holdout=holdout.rows[: config.max_holdout],
        unseen=unseen,
    )
    if config.revision not in (None, _hash_rows(dataset)):
        raise DataError(
            f"data.revision={config.revision}: the rows of {config.forget} or {config.retain} have changed since"
            f" (now {_hash_rows(dataset)}): put them back, or begin another sweep"
        )
    return dataset


def _hash_rows(dataset: Dataset) -> str:
    return dataset.digest[:16]


def _read_split(config: Options, key: str, table: str) -> Split:
    records = _read_records(key, table)
    if not records:
        raise DataError(f"data.{key}={table} has no rows")
    check_columns(table, records, config.columns)
    contents = [name for name in VARIED if name in PLAIN or _has_value(records, getattr(config.columns, name))]
    split = Split(name=table, rows=parse_rows(table, records, contents, config.columns))
    check_unique(split)
    return split


def _read_records(key: str, table: str) -> list[Record]:
    """Read a table; a path that exists is never taken for the name of one on the hub."""
    if os.path.exists(table):
        return read_table(Path(table))
    if on_hub := HUB_PATTERN.fullmatch(table):
        return read_hub_split(**on_hub.groupdict())
    near = get_close_matches(Path(table).name, _list_siblings(table), n=1)
    raise DataError(
        f"data.{key}={table}: there is no such file{f' (nearest: {near[0]})' if near else ''}, nor is it a split on the"
        " hub, OWNER/NAME:SPLIT"
    )


def _list_siblings(table: str) -> list[str]:
    folder = os.path.dirname(table) or "."
    return os.listdir(folder) if os.path.isdir(folder) else []


def _has_value(records: list[Record], column: str) -> bool:
    return any(record.get(column) is not None for record in records)


def _split_retain(config: Options, retain: Split) -> tuple[Split, Split]:
    """Divide the rows into retain and holdout rows; all rows of a question go to the same part.

    The questions are drawn by `random()` alone, whose sequence Python guarantees to be the same in all versions.
    """
    rng = Random(config.seed)  # noqa: S311 (rows, not secrets)
    questions = list(dict.fromkeys(row.question for row in retain.rows))
    count = _count_holdout(config.holdout, len(questions))
    if not 0 < count < len(questions):
        raise DataError(
            f"data.retain={config.retain} has {len(questions)} questions, of which data.holdout={config.holdout} takes"
            f" {count}: each part needs a row"
        )
    held = set(sorted(questions, key=lambda _: rng.random())[:count])
    parts = ([row for row in retain.rows if (row.question in held) == is_held] for is_held in (False, True))
    kept, out = (Split(name=retain.name, rows=tuple(rows)) for rows in parts)
    return kept, out


def _count_holdout(holdout: str | float | None, n_questions: int) -> int:
    """Return the number of questions that are held out."""
    if holdout is None:
        return min(max(1, round(DEFAULT_HOLDOUT_SHARE * n_questions)), MAX_DEFAULT_HOLDOUT)
    return holdout if isinstance(holdout, int) else round(float(holdout) * n_questions)
