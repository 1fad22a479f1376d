"""Check that a model has enough positions for the rows; only long texts are tokenized."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from eval.rows.types import DataError, Dataset, shorten_value

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from eval.rows.encode import Template


# torch and transformers are imported only for a long text, so that short rows such as TOFU's are checked at once.

MAX_UNCHECKED_BYTES = 1024
"""Bytes of a question and an answer up to which nearly every model has enough positions."""


def check_lengths(
    dataset: Dataset,
    template: "Template",
    known: "Callable[[], tuple[PreTrainedTokenizerFast, int | None]]",
    max_unchecked_bytes: float = MAX_UNCHECKED_BYTES,
) -> None:
    """Refuse rows with a text of more tokens than the model has positions.

    Args:
        dataset: the rows.
        template: the text of a row.
        known: returns the tokenizer and the number of positions (None: unlimited); called only if a text is long.
        max_unchecked_bytes: bytes of a question and an answer up to which the model is known to have enough positions.

    Raises:
        DataError: a text is too long; the message has the part, the row counted from 1, and both numbers.
    """
    long = [one for one in _list_texts(dataset) if len("".join(one[1:]).encode()) > max_unchecked_bytes]
    if not long:
        return
    from eval.rows.encode import encode

    tokenizer, positions = known()
    for where, question, answer in long:
        tokens = len(encode(tokenizer, template, question, answer).inputs)
        if positions is not None and tokens > positions:
            raise DataError(
                f"{where} has {tokens} tokens, but the model has {positions} positions: {shorten_value(question)}"
            )


def _list_texts(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield the description of each row with each pair of its questions and answers."""
    for part, rows in vars(dataset).items():
        for number, row in enumerate(rows, 1):
            questions = filter(None, (row.question, row.paraphrased_question))
            answers = filter(None, (row.answer, row.paraphrased_answer, *row.perturbed_answers))
            for pair in product(questions, answers):
                yield f"{part} row {number}", *pair
