"""TOFU's rows (Maini et al. 2024, arXiv 2401.06121), read with `datasets` from a local folder or the hub.

Forget rows are those of `forgetNN_perturbed`, which has the variants. Holdout rows are those of `retain_perturbed`, the
first 400 rows of the retain split with variants; the other rows of that split are the retain rows. Splits with variants
are checked against those without. Real authors and world facts are read if the folder or the repository has them.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from glob import escape
from os.path import expanduser
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import Any, ClassVar, Literal

from eval.datasets import DatasetOptions
from eval.models import hub
from eval.options import Count
from eval.rows.types import DataError, Dataset, Row, check_text, shorten_value

MAX_ERROR_CHARS = 200
"""Maximum length of an error of `datasets` in a message."""


class Options(DatasetOptions):
    """Location of TOFU; `paper_split` is the split to be forgotten."""

    source: Literal["tofu"]
    path: str
    """Hub id, or a folder with a file SPLIT.json for each split."""
    revision: str | None
    """Commit on the hub (None: the newest)."""
    unseen: str | None
    """Split of rows that no model has seen, disjoint from `full` (None: no unseen rows)."""
    max_retain: Count | None
    """Maximum number of retain rows (None: all)."""
    max_holdout: Count | None
    """Maximum number of holdout rows (None: all)."""
    has_unseen_split: ClassVar[bool] = True

    @property
    def is_paper_data(self) -> bool:
        """True if no row is left out."""
        return self.max_retain is None and self.max_holdout is None


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows of one split, with its name."""

    name: str
    rows: tuple[Row, ...]


def load(config: Options) -> Dataset:
    """Load the rows of TOFU, divided into parts for the case that `paper_split` is forgotten.

    Raises:
        DataError: the folder, the hub, a split, a column or a value is missing or wrong, rows that should agree differ,
            or rows that should differ are the same.
    """
    forget = _read_split(config, f"{config.paper_split}_perturbed", _parse_varied)
    holdout = _read_split(config, "retain_perturbed", _parse_varied)
    retain = _read_split(config, f"retain{100 - int(config.paper_split.removeprefix('forget'))}", _parse_plain)
    _check_same(_read_split(config, config.paper_split, _parse_plain), forget)
    _check_same(replace(retain, rows=retain.rows[: len(holdout.rows)]), holdout)
    _check_unique(forget)
    _check_unique(retain)
    _check_disjoint(forget, retain, "a forget")
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
    unseen = _read_split(config, config.unseen, _parse_plain)
    for split in (_read_split(config, "full", _parse_plain), *known):
        _check_disjoint(unseen, split, "an unseen")
    return unseen.rows


def _read_general(config: Options, name: str) -> tuple[Row, ...]:
    """Read a split of general knowledge; return no rows if there is none."""
    return _read_split(config, name, _parse_perturbed).rows if _has_split(config, name) else ()


def _check_same(plain: Split, varied: Split) -> None:
    """Check that two splits have the same questions and answers; only one of them has variants."""
    if len(plain.rows) != len(varied.rows):
        raise DataError(f"{varied.name} has {len(varied.rows)} rows, {plain.name} has {len(plain.rows)} of them")
    for number, (row, other) in enumerate(zip(plain.rows, varied.rows, strict=True), 1):
        if (row.question, row.answer) != (other.question, other.answer):
            raise DataError(
                f"{varied.name} row {number} is not row {number} of {plain.name}: {shorten_value(other.question)}"
            )


def _check_unique(split: Split) -> None:
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(split.rows, 1):
        earlier = first.setdefault((row.question, row.answer), number)
        if earlier != number:
            raise DataError(f"{split.name} row {number} is row {earlier} again: {shorten_value(row.question)}")


def _check_disjoint(one: Split, other: Split, kind: str) -> None:
    """Check that no question of `one`, which has rows of this kind, is also in `other`, with any answer."""
    asked = {row.question for row in one.rows}
    for number, row in enumerate(other.rows, 1):
        if row.question in asked:
            raise DataError(f"{other.name} row {number} is {kind} row ({one.name}): {shorten_value(row.question)}")


def _read_split(config: Options, name: str, row: Callable[[str, dict[str, Any]], Row]) -> Split:
    file = _find_folder(config) / f"{name}.json"
    if not file.is_file():
        there = ", ".join(sorted(other.name for other in file.parent.glob("*.json"))) or "no .json file"
        raise DataError(f"data.path={config.path}: there is no {file.name}, but {there}")
    rows = tuple(row(f"{file}: {name} row {number}", each) for number, each in enumerate(_read_records(file), 1))
    if not rows:
        raise DataError(f"data.path={config.path}: {name} has no rows")
    return Split(name=name, rows=rows)


def _has_split(config: Options, name: str) -> bool:
    """Return True if the folder or the repository has the split."""
    return (_find_folder(config) / f"{name}.json").is_file()


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


def _read_records(file: Path) -> list[dict[str, Any]]:
    """Read the objects in a file, one a line, without network access and without a lasting cache."""
    import datasets  # takes a second, and only TOFU needs it

    with TemporaryDirectory() as cache, _silence_datasets():
        try:
            return list(datasets.Dataset.from_json(escape(str(file)), cache_dir=cache, keep_in_memory=True))
        except StopIteration:  # raised for an empty file
            return []
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            _check_lines(file)
            said = shorten(str(error.__cause__ or error).partition("\n")[0], MAX_ERROR_CHARS, placeholder="…")
            raise DataError(f"{file} cannot be read as rows: {said}") from error


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


def _check_lines(file: Path) -> None:
    """Name the line that is not a valid row, which `datasets` does not do.

    Raises:
        DataError: the file or a line cannot be read; the message has the line's number.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                _check_line(file, number, line)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: must be UTF-8 text ({error.reason} at {error.start})") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error


def _check_line(file: Path, number: int, line: str) -> None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{file} line {number} is not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} line {number} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{file} line {number} is {shorten_value(record)}, not an object with a question and an answer")


def _parse_plain(where: str, record: dict[str, Any]) -> Row:
    return Row(question=_read_text(where, record, "question"), answer=_read_text(where, record, "answer"))


def _parse_perturbed(where: str, record: dict[str, Any]) -> Row:
    perturbed = _require_value(where, record, "perturbed_answer")
    if not isinstance(perturbed, list) or not perturbed:
        raise DataError(f"{where}: perturbed_answer is {shorten_value(perturbed)}, not a list of texts")
    texts = tuple(_check_filled(f"{where}: perturbed_answer", text) for text in perturbed)
    return replace(_parse_plain(where, record), perturbed_answers=texts)


def _parse_varied(where: str, record: dict[str, Any]) -> Row:
    return replace(
        _parse_perturbed(where, record),
        paraphrased_question=_read_text(where, record, "paraphrased_question"),
        paraphrased_answer=_read_text(where, record, "paraphrased_answer"),
    )


def _read_text(where: str, record: dict[str, Any], column: str) -> str:
    return _check_filled(f"{where}: {column}", _require_value(where, record, column))


def _require_value(where: str, record: dict[str, Any], column: str) -> Any:
    if record.get(column) is None:
        raise DataError(f"{where} has no {column}")
    return record[column]


def _check_filled(what: str, value: object) -> str:
    if not (text := check_text(what, value)).strip():
        raise DataError(f"{what} is empty")
    return text
