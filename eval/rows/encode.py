"""From rows to tokens: templates, the boundary where the answer's labels begin, and padded batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from eval.rows.refusals import refusal_of
from eval.rows.types import DataError, Row


class Template(Protocol):
    """The text of a row: `question` with {question} in it, then `answer` with {answer} in it."""

    @property
    def question(self) -> str:
        """The prompt."""

    @property
    def answer(self) -> str:
        """What follows it."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One question and answer as tokens.

    Attributes:
        ids: all tokens, the last is EOS.
        start: place in `ids` of the first answer token; always after the first token.
    """

    ids: tuple[int, ...]
    start: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """What the model reads: every token but the last, from which nothing is predicted."""
        return self.ids[:-1]

    @property
    def labels(self) -> tuple[int, ...]:
        """The answer's tokens, with EOS."""
        return self.ids[self.start :]


def encode(tokenizer: PreTrainedTokenizerFast, template: Template, question: str, answer: str) -> Encoded:
    """Tokens of a question and an answer; a token that reaches into the answer's text is a label.

    The text is tokenized whole, as the model saw it in fine-tuning, and the boundary is found by the characters that
    each token covers, so that no tokenizer's habit at the seam (Llama's leading space, say) moves a label.
    """
    prompt = template.question.replace("{question}", question)
    text = prompt + template.answer.replace("{answer}", answer)
    tokens = tokenizer(text, return_offsets_mapping=True)
    ids, spans = tokens["input_ids"], tokens["offset_mapping"]
    start = next((i for i, (_, end) in enumerate(spans) if end > len(prompt)), len(ids))
    if start == 0:
        raise DataError(f"the template leaves no token before the answer of the question {question!r}.")
    return Encoded(ids=(*ids, tokenizer.eos_token_id), start=start)


def encode_rows(tokenizer: PreTrainedTokenizerFast, template: Template, rows: Sequence[Row]) -> list[Encoded]:
    """The rows as they are trained on."""
    return [encode(tokenizer, template, row.question, row.answer) for row in rows]


def encode_refusals(tokenizer: PreTrainedTokenizerFast, template: Template, rows: Sequence[Row]) -> list[Encoded]:
    """The question of each row with the refusal that is fixed for it."""
    return [encode(tokenizer, template, row.question, refusal_of(row.question)) for row in rows]


def encode_paraphrased(tokenizer: PreTrainedTokenizerFast, template: Template, rows: Sequence[Row]) -> list[Encoded]:
    """The paraphrased question of each row with its original answer."""
    return [encode(tokenizer, template, row.paraphrased_question, row.answer) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows padded on the right to the longest of them: B rows, T positions, N answer tokens.

    The closing EOS is a label but no input: nothing is predicted from it. Padding repeats it and is not attended to,
    as in TOFU's code.

    Attributes:
        ids: input tokens [B, T], int64.
        mask: 1 at real tokens [B, T], int64.
        row: row of each answer token [N], in row order.
        position: position that predicts each answer token [N] (one before it).
        label: the answer tokens [N].
        n: answer tokens of each row [B].
    """

    ids: Tensor
    mask: Tensor
    row: Tensor
    position: Tensor
    label: Tensor
    n: Tensor


def collate(rows: Sequence[Encoded], device: torch.device, length: int = 0) -> Batch:
    """Pad rows to the longest, and at least to `length` positions."""
    width = max(length, *(len(row.inputs) for row in rows))
    ids = [row.inputs + row.ids[-1:] * (width - len(row.inputs)) for row in rows]
    mask = [[1] * len(row.inputs) + [0] * (width - len(row.inputs)) for row in rows]
    places = [(i, at - 1, row.ids[at]) for i, row in enumerate(rows) for at in range(row.start, len(row.ids))]
    row, position, label = torch.tensor(places, device=device).T.contiguous()
    return Batch(
        ids=torch.tensor(ids, device=device),
        mask=torch.tensor(mask, device=device),
        row=row,
        position=position,
        label=label,
        n=torch.tensor([len(row.labels) for row in rows], device=device),
    )


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Rows in groups of like length, longest first, each of at most `tokens` positions when padded (or one row)."""
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not groups or lengths[groups[-1][0]] * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(i)
    return groups
