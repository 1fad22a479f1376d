"""Greedy answers, with a cache of keys and values, in batches of prompts of like length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import Each
from eval.rows.encode import by_length

LONGEST = 200
"""Tokens of an answer at most, as in TOFU and open-unlearning."""
POSITIONS = 8192
"""Positions of a batch, prompts and answers, padded: what the cache holds at once."""


def greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Sequence[int]],
    longest: int = LONGEST,
    each: Each = map,
) -> list[str]:
    """The text that the model adds to each prompt, without special tokens, up to EOS or `longest` tokens.

    A row's text does not depend on the rows beside it: padding is on the left, not attended to and not counted in
    positions. What the checkpoint says of generation (penalties, sampling) is left aside, its EOS tokens are not.
    """
    answers = [""] * len(prompts)
    with _plain(model, tokenizer, longest):
        groups = by_length([len(prompt) + longest for prompt in prompts], POSITIONS)
        found = each(partial(_batch, model, tokenizer), [[prompts[i] for i in group] for group in groups])
        for group, texts in zip(groups, found, strict=True):
            for i, text in zip(group, texts, strict=True):
                answers[i] = text
    return answers


def _batch(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[Sequence[int]]) -> list[str]:
    width = max(map(len, prompts))
    pad = [[tokenizer.eos_token_id] * (width - len(prompt)) for prompt in prompts]
    ids = torch.tensor([[*left, *prompt] for left, prompt in zip(pad, prompts, strict=True)], device=model.device)
    mask = torch.tensor([[0] * len(left) + [1] * (width - len(left)) for left in pad], device=model.device)
    generating: Any = model  # every causal model can, but the type does not say so
    said = generating.generate(input_ids=ids, attention_mask=mask)
    return [plain_text(tokenizer, row) for row in said[:, width:].tolist()]


def plain_text(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """What tokens say, without special ones."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True)
    assert isinstance(text, str)
    return text


@contextmanager
def _plain(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, longest: int) -> Iterator[None]:
    """Greedy decoding for a while, in place of the checkpoint's own way (whose values `generate` would fill in)."""
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=longest, eos_token_id=_ends(own, tokenizer), pad_token_id=tokenizer.eos_token_id
    )
    try:
        yield
    finally:
        model.generation_config = own


def _ends(own: GenerationConfig, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The tokens that end an answer: the tokenizer's EOS, and what the checkpoint adds (a chat model's end of turn)."""
    more = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    return sorted({tokenizer.eos_token_id, *(end for end in more if end is not None)})
