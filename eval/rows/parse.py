"""Turn the records of a table into checked rows; a message names table, row (from 1) and column."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import shorten
from typing import Annotated, Any

from pydantic import Field

from eval.options import Frozen
from eval.rows.table_files import Record
from eval.rows.types import DataError, Row, check_text, shorten_value

PLAIN = ("question", "answer")
"""Contents of a row without variants."""
PERTURBED = (*PLAIN, "perturbed_answer")
VARIED = (*PERTURBED, "paraphrased_question", "paraphrased_answer")
"""Contents of a row with all variants."""
MAX_LISTED_CHARS = 120
"""Maximum length of the list of columns in a message."""

ColumnName = Annotated[str, Field(min_length=1)]


class Columns(Frozen):
    """Names of a table's columns, by their content; those of TOFU unless the user chooses others."""

    question: ColumnName = "question"
    """Column of the questions."""
    answer: ColumnName = "answer"
    """Column of the answers."""
    paraphrased_question: ColumnName = "paraphrased_question"
    """Column of the same questions in other words, which the score reads too; it may be missing."""
    paraphrased_answer: ColumnName = "paraphrased_answer"
    """Column of the same answers in other words; it may be missing."""
    perturbed_answer: ColumnName = "perturbed_answer"
    """Column of wrong answers, a list of texts (in a CSV file a JSON list in a cell); it may be missing."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows of one table, with the name by which messages call it."""

    name: str
    rows: tuple[Row, ...]


def parse_rows(place: str, records: Sequence[Record], contents: Sequence[str], columns: Columns) -> tuple[Row, ...]:
    """Parse the columns that hold these contents into rows; all others are left aside.

    Raises:
        DataError: a value is missing, empty or not text.
    """
    return tuple(_parse_row(f"{place} row {number}", each, contents, columns) for number, each in enumerate(records, 1))


def check_columns(place: str, records: Sequence[Record], columns: Columns) -> None:
    """Refuse a table that has no column of questions or of answers; name the nearest column that it has.

    Raises:
        DataError: a column is missing, or the table holds running text.
    """
    there = dict.fromkeys(name for record in records for name in record)
    missing = [name for name in PLAIN if getattr(columns, name) not in there]
    if len(missing) == len(PLAIN) and "text" in there:
        raise DataError(f"{place} holds running text (a column 'text'): only rows of question and answer are supported")
    for name in missing:
        column = getattr(columns, name)
        near = _find_nearest(column, there)
        seen = repr(near) if near else shorten(", ".join(map(repr, there)), MAX_LISTED_CHARS, placeholder="…")
        hint = f"data.columns={{{name}: {near or 'NAME'}}}"
        raise DataError(f"{place} has no column {column!r}, but {seen}: {hint} names it")


def check_unique(split: Split) -> None:
    """Refuse the same question with the same answer twice."""
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(split.rows, 1):
        earlier = first.setdefault((row.question, row.answer), number)
        if earlier != number:
            raise DataError(f"{split.name} row {number} is row {earlier} again: {shorten_value(row.question)}")


def check_disjoint(one: Split, other: Split, kind: str) -> None:
    """Check that no question of `one`, which has rows of this kind, is also in `other`, with any answer."""
    asked = {row.question for row in one.rows}
    for number, row in enumerate(other.rows, 1):
        if row.question in asked:
            raise DataError(f"{other.name} row {number} is {kind} row ({one.name}): {shorten_value(row.question)}")


def _find_nearest(column: str, there: Iterable[str]) -> str | None:
    """Return the name, of a column that is none of TOFU's, that is most similar to this one in any case of letters."""
    plain = {name.lower(): name for name in there if re.fullmatch(r"\w+", name) and name not in VARIED}
    return next((plain[near] for near in get_close_matches(column.lower(), plain, n=1)), None)


def _parse_row(where: str, record: Record, contents: Sequence[str], columns: Columns) -> Row:
    names = {content: getattr(columns, content) for content in contents}
    perturbed = names.pop("perturbed_answer", None)
    texts = {content: _read_text(where, record, column) for content, column in names.items()}
    return Row(**texts, perturbed_answers=() if perturbed is None else _read_texts(where, record, perturbed))


def _read_texts(where: str, record: Record, column: str) -> tuple[str, ...]:
    """Return a list of texts; a cell of a CSV file holds it as JSON."""
    value = _require_value(where, record, column)
    texts = _decode_list(value) if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        written = ", written as JSON" if isinstance(value, str) and value.startswith("[") else ""
        raise DataError(f"{where}: {column} is {shorten_value(value)}, not a list of texts{written}")
    return tuple(_check_filled(f"{where}: {column}", text) for text in texts)


def _decode_list(cell: str) -> Any:
    """Return the list that a cell holds as JSON; anything else is returned as it is."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _read_text(where: str, record: Record, column: str) -> str:
    return _check_filled(f"{where}: {column}", _require_value(where, record, column))


def _require_value(where: str, record: Record, column: str) -> Any:
    if record.get(column) is None:
        near = None if column in record else _find_nearest(column, record)
        raise DataError(f"{where} has no {column}{f', but {near}' if near else ''}")
    return record[column]


def _check_filled(what: str, value: object) -> str:
    if not (text := check_text(what, value)).strip():
        raise DataError(f"{what} is empty")
    return text
