"""The typed rows that every other part speaks of: question, answer, and their variants."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

LONGEST = 80
"""Letters of a value that a message shows."""


class DataError(ValueError):
    """The rows that the user named cannot be had; the message is one sentence for them."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question with its answer, and the variants that evaluation asks for (absent: empty)."""

    question: str
    answer: str
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    perturbed_answers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The rows of a sweep by the part they play.

    Attributes:
        forget: to be unlearned; every row has a paraphrased question.
        retain: trained on while unlearning, to be kept.
        holdout: known to the target, never trained on while unlearning; `retain/*` metrics are measured here.
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
    def known(self) -> tuple[Row, ...]:
        """The rows that the target is fine-tuned on: forget, retain and holdout."""
        return self.forget + self.retain + self.holdout

    def to_json(self) -> str:
        """The rows as JSON, the same text for the same rows."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Dataset":
        """Read back what `to_json` wrote.

        Raises:
            DataError: a value is no text.
        """
        parts = json.loads(text).items()
        return cls(
            **{part: tuple(_row(f"{part} row {i}", row) for i, row in enumerate(rows, 1)) for part, rows in parts}
        )

    @classmethod
    def read(cls, path: Path) -> "Dataset":
        """Read the rows that `to_json` wrote into a file."""
        return cls.from_json(path.read_text(encoding="utf-8"))

    @property
    def digest(self) -> str:
        """A hash of all rows' content and order (64 hexadecimal digits)."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def capped(rows: Sequence[Row], most: int | None) -> tuple[Row, ...]:
    """The first `most` rows (None: all of them)."""
    return tuple(rows[:most])


def _row(where: str, fields: dict[str, Any]) -> Row:
    perturbed = tuple(checked(f"{where}: perturbed_answers", text) for text in fields["perturbed_answers"])
    texts = {key: checked(f"{where}: {key}", value) for key, value in fields.items() if key != "perturbed_answers"}
    return Row(**texts, perturbed_answers=perturbed)


def checked(what: str, value: object) -> str:
    """The value itself, where it is text that can be written to a file.

    Raises:
        DataError: it is not, with `what` it is and what it looks like.
    """
    if not isinstance(value, str):
        raise DataError(f"{what} is {shown(value)}, not text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} has half a character ({value[error.start]!r} at {error.start})") from error
    return value


def shown(value: object) -> str:
    """The beginning of a value, as a message shows it."""
    return shorten(repr(value), LONGEST, placeholder="…")
