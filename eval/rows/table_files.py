"""Read tables of rows: JSON lines, a JSON list, CSV, Parquet, a folder of `Dataset.save_to_disk`, a split on the hub.

Text files are read as they are written: `datasets` would take texts such as 1945, 1941-10-03 or NA in a column for
numbers, times and missing values.
"""

import csv
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any, TypeAlias

from eval.rows.types import DataError, shorten_value

Record: TypeAlias = dict[str, Any]
"""Values of a row by column."""

MAX_ERROR_CHARS = 200
"""Maximum length of an error of `datasets` in a message."""


def find_table(folder: Path, name: str) -> Path | None:
    """Return the table of that name in a folder, in the first of the formats that is there; None without one."""
    files = (folder / f"{name}{suffix}" for suffix in READERS)
    return next((file for file in files if file.is_file()), folder / name if _is_saved_dataset(folder / name) else None)


def describe_missing_table(folder: Path, name: str) -> str:
    """Return a description of the formats in which a folder lacks a table, and of the tables that it has."""
    there = sorted(path.name for path in folder.iterdir() if path.suffix in READERS or _is_saved_dataset(path))
    return (
        f"there is no {name}{', '.join([*READERS][:-1])} or {[*READERS][-1]}, nor a folder {name} of save_to_disk,"
        f" but {', '.join(there) or 'no table'}"
    )


def read_table(path: Path) -> list[Record]:
    """Read the rows of a file, or of a folder of `Dataset.save_to_disk`, without network access or a lasting cache.

    Raises:
        DataError: it cannot be read; the message names the place where it is known.
    """
    if path.is_dir():
        return _read_saved_dataset(path)
    if path.suffix not in READERS:
        raise DataError(f"{path} must end with {' or '.join(READERS)}, or be a folder of Dataset.save_to_disk")
    try:
        return READERS[path.suffix](path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be UTF-8 text ({error.reason} at {error.start})") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def read_hub_split(repository: str, revision: str | None, split: str) -> list[Record]:
    """Read a split of a dataset on the hub: `SPLIT`, or `CONFIG/SPLIT` where the dataset has several.

    Raises:
        DataError: it cannot be had.
    """
    import datasets

    config, _, name = split.rpartition("/")
    return _read_with_datasets(
        f"{repository}:{split}",
        lambda: datasets.load_dataset(repository, config or None, split=name, revision=revision),
    )


def _read_json(file: Path) -> list[Record]:
    """Read objects, one a line, or all of them in one list."""
    with file.open(encoding="utf-8-sig", newline="\n") as lines:
        if (text := lines.read()).lstrip().startswith("["):
            listed = _parse_json(file, 1, text)
            return [_check_record(f"{file} row {number}", record) for number, record in enumerate(listed, 1)]
        numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [_check_record(f"{file} line {number}", _parse_json(file, number, line)) for number, line in numbered]


def _parse_json(file: Path, number: int, text: str) -> Any:
    """Parse the JSON that begins in that line of a file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = number + error.lineno - 1
        raise DataError(f"{file} line {line} is not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} line {number} cannot be read: {error}") from error


def _check_record(where: str, record: object) -> Record:
    if not isinstance(record, dict):
        raise DataError(f"{where} is {shorten_value(record)}, not an object with a question and an answer")
    return record


def _read_csv(file: Path) -> list[Record]:
    """Read the rows below the names of the columns; an empty cell is None, every other one text."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        cells = csv.reader(lines, strict=True)
        try:
            rows = [row for row in cells if row]
        except csv.Error as error:
            raise DataError(f"{file} line {cells.line_num} is not CSV: {error}") from error
    names = rows[0] if rows else []
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            raise DataError(f"{file} row {number} has {len(row)} cells for {len(names)} columns")
    return [dict(zip(names, (cell or None for cell in row), strict=True)) for row in rows[1:]]


def _read_parquet(file: Path) -> list[Record]:
    import datasets

    with TemporaryDirectory() as cache:
        return _read_with_datasets(
            str(file), lambda: datasets.Dataset.from_parquet(str(file), cache_dir=cache, keep_in_memory=True)
        )


READERS: dict[str, Callable[[Path], list[Record]]] = {
    ".json": _read_json,
    ".jsonl": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"""Readers of files, by the end of the file's name."""


def _is_saved_dataset(folder: Path) -> bool:
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def _read_saved_dataset(folder: Path) -> list[Record]:
    import datasets

    if not (folder / "state.json").is_file():
        splits = sorted(path.name for path in folder.iterdir() if (path / "state.json").is_file())
        inside = f"has several splits: take {' or '.join(f'{folder}/{name}' for name in splits)}"
        raise DataError(f"{folder} {inside if splits else 'is a folder, but not of Dataset.save_to_disk'}")
    return _read_with_datasets(str(folder), lambda: datasets.load_from_disk(str(folder), keep_in_memory=True))


def _read_with_datasets(name: str, load: Callable[[], Iterable[Record]]) -> list[Record]:
    """Return the rows that a function of `datasets` loads; translate its many errors into one sentence."""
    with _silence_datasets():
        try:
            return list(load())
        except Exception as error:  # errors of the hub, arrow and the file system have no common class
            reason = str(error.__cause__ or error).partition("\n")[0] or type(error).__name__
            said = shorten(reason, MAX_ERROR_CHARS, placeholder="…").rstrip(".")
            raise DataError(f"{name} cannot be read as rows: {said}") from error


@contextmanager
def _silence_datasets() -> Iterator[None]:
    """Silence the progress bars and logs of `datasets`, since our display is live and errors are raised."""
    import datasets.utils

    log, shown = logging.root.manager.disable, not datasets.utils.are_progress_bars_disabled()
    logging.disable(logging.ERROR)
    datasets.utils.disable_progress_bars()
    try:
        yield
    finally:
        logging.disable(log)
        if shown:
            datasets.utils.enable_progress_bars()
