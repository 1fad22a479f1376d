"""Typed rows, which all other parts use: question, answer, and their variants."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

MAX_SHOWN_CHARS = 80
"""Maximum length of a value in a message."""


class DataError(ValueError):
    """Rows or a model that the user named cannot be loaded; the message is one sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question with its answer, and the variants that evaluation needs (empty if absent)."""

    question: str
    answer: str
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    perturbed_answers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Rows of a sweep, divided into parts.

    Attributes:
        forget: rows to be unlearned.
        retain: rows to be kept, trained on while unlearning.
        holdout: rows known to the target, never trained on while unlearning; `retain/*` metrics are measured on them.
        unseen: rows that no model has seen (may be empty).
        real_authors: general knowledge about authors, with perturbed answers but no paraphrases (may be empty).
        world_facts: general knowledge about the world, with the same variants (may be empty).
    """

    forget: tuple[Row, ...]
    retain: tuple[Row, ...]
    holdout: tuple[Row, ...]
    unseen: tuple[Row, ...] = ()
    real_authors: tuple[Row, ...] = ()
    world_facts: tuple[Row, ...] = ()

    @property
    def target_rows(self) -> tuple[Row, ...]:
        """Rows that the target is fine-tuned on: forget, retain and holdout."""
        return self.forget + self.retain + self.holdout

    @property
    def has_paraphrases(self) -> bool:
        """True if every forget and every holdout row has a paraphrased question."""
        return all(row.paraphrased_question for row in self.forget + self.holdout)

    def to_json(self) -> str:
        """Return the rows as JSON, the same text for the same rows."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Dataset":
        """Parse the JSON that `to_json` returned.

        Raises:
            DataError: a value is not text.
        """
        parts = json.loads(text).items()
        return cls(
            **{part: tuple(_parse_row(f"{part} row {i}", row) for i, row in enumerate(rows, 1)) for part, rows in parts}
        )

    @classmethod
    def from_file(cls, path: Path) -> "Dataset":
        """Read the rows from a file with the JSON of `to_json`."""
        return cls.from_json(path.read_text(encoding="utf-8"))

    @property
    def digest(self) -> str:
        """Hash of the content and order of all rows (64 hexadecimal digits)."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _parse_row(where: str, fields: dict[str, Any]) -> Row:
    perturbed = tuple(check_text(f"{where}: perturbed_answers", text) for text in fields["perturbed_answers"])
    texts = {key: check_text(f"{where}: {key}", value) for key, value in fields.items() if key != "perturbed_answers"}
    return Row(**texts, perturbed_answers=perturbed)


def check_text(what: str, value: object) -> str:
    """Return the value if it is text that can be written to a file.

    Raises:
        DataError: it is not; the message has `what` and the beginning of the value.
    """
    if not isinstance(value, str):
        raise DataError(f"{what} is {shorten_value(value)}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} has half a character ({value[error.start]!r} at {error.start})") from error
    return value


def choose_evenly(n_rows: int, n: int) -> list[int]:
    """Return the indices of n evenly spaced rows of n_rows; all of them where there are no more than n."""
    return [place * n_rows // n for place in range(n)] if n_rows > n else [*range(n_rows)]


def shorten_value(value: object) -> str:
    """Return the beginning of a value's `repr`, for a message."""
    return shorten(repr(value), MAX_SHOWN_CHARS, placeholder="…")
