"""Encode rows as tokens: templates, the boundary where the answer's labels begin, and padded batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from eval.rows.refusals import choose_refusal
from eval.rows.types import DataError, Row


class Template(Protocol):
    """Text of a row: `question`, which contains {question}, then `answer`, which contains {answer}."""

    @property
    def question(self) -> str:
        """Text of the prompt."""

    @property
    def answer(self) -> str:
        """Text that follows the prompt."""


@dataclass(frozen=True, kw_only=True)
class EncodedRow:
    """One question and answer as tokens.

    Attributes:
        ids: all tokens; the last is EOS, or the end-of-turn token of the template.
        start: index in `ids` of the first answer token, at least 1.
    """

    ids: tuple[int, ...]
    start: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """Tokens that the model reads: all but the last, from which nothing is predicted."""
        return self.ids[:-1]

    @property
    def labels(self) -> tuple[int, ...]:
        """Tokens of the answer, with the end."""
        return self.ids[self.start :]


def encode(tokenizer: PreTrainedTokenizerFast, template: Template, question: str, answer: str) -> EncodedRow:
    """Encode a question and an answer; every token that reaches into the answer's text is a label.

    The text is tokenized whole, as the model saw it in fine-tuning. The boundary is found by the characters that each
    token covers, so that a tokenizer's habit at the seam (such as Llama's leading space) does not move a label. There
    is at most one BOS, and one end, whether the template, the tokenizer, both or neither add them.

    Raises:
        DataError: the template leaves no token before the answer, or the tokenizer has no EOS for its end.
    """
    prompt = template.question.replace("{question}", question)
    text = prompt + template.answer.replace("{answer}", answer)
    tokens = tokenizer(text, return_offsets_mapping=True)
    ids, ends = tokens["input_ids"], [end for _, end in tokens["offset_mapping"]]
    while ids[:2] == [tokenizer.bos_token_id] * 2:
        del ids[0], ends[0]
    # What the tokenizer adds covers no characters.
    while ids and ids[-1] == tokenizer.eos_token_id and not 0 < ends[-1] <= len(prompt):
        del ids[-1], ends[-1]
    start = next((i for i, end in enumerate(ends) if end > len(prompt)), len(ids))
    if start == 0:
        raise DataError(f"the template leaves no token before the answer of the question {question!r}.")
    return EncodedRow(ids=(*ids, *_missing_end(tokenizer, template, ids[-1])), start=start)


def _missing_end(tokenizer: PreTrainedTokenizerFast, template: Template, last: int) -> list[int]:
    """Return EOS, or nothing where the template's own end-of-turn token is the last."""
    ending = template.answer.rpartition("{answer}")[2]
    if ending and not ending.endswith(str(tokenizer.eos_token)) and last in find_special_tokens(tokenizer).values():
        return []
    if tokenizer.eos_token_id is None:
        raise DataError("the tokenizer has no EOS token, which ends an answer.")
    return [tokenizer.eos_token_id]


def find_special_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Return the ids of the tokens that are no text, such as <s> and <|im_end|>."""
    return {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def encode_rows(tokenizer: PreTrainedTokenizerFast, template: Template, rows: Sequence[Row]) -> list[EncodedRow]:
    """Encode the question and the answer of each row, as in training."""
    return [encode(tokenizer, template, row.question, row.answer) for row in rows]


def encode_refusals(tokenizer: PreTrainedTokenizerFast, template: Template, rows: Sequence[Row]) -> list[EncodedRow]:
    """Encode the question of each row with the refusal that is fixed for it."""
    return [encode(tokenizer, template, row.question, choose_refusal(row.question)) for row in rows]


def encode_paraphrased(tokenizer: PreTrainedTokenizerFast, template: Template, rows: Sequence[Row]) -> list[EncodedRow]:
    """Encode the paraphrased question of each row with its original answer."""
    return [encode(tokenizer, template, row.paraphrased_question, row.answer) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows padded on the right to the longest of them: B rows, T positions, N answer tokens.

    The final EOS is a label but not an input: nothing is predicted from it. Padding repeats EOS and is masked, as in
    TOFU's code.

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


def collate(rows: Sequence[EncodedRow], device: torch.device, length: int = 0) -> Batch:
    """Pad rows to the longest of them, and at least to `length` positions."""
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


def group_by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Group rows by length, longest first, each group of at most `tokens` positions when padded (or one row).

    Return the indices of the rows of each group.
    """
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not groups or lengths[groups[-1][0]] * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(i)
    return groups
