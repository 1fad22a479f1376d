"""Greedy answers, with a cache of keys and values, in batches of prompts of similar length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import MapFn
from eval.rows.encode import group_by_length

MAX_ANSWER_TOKENS = 200
"""Maximum tokens of an answer, as in TOFU and open-unlearning."""
MAX_BATCH_POSITIONS = 8192
"""Maximum positions of a batch, prompts and answers, padded: those that the cache holds at once."""


def generate_greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Sequence[int]],
    longest: int = MAX_ANSWER_TOKENS,
    each: MapFn = map,
) -> list[str]:
    """Generate the text after each prompt, without special tokens, up to EOS or `longest` tokens.

    A row's text does not depend on the other rows of its batch: padding is on the left, masked, and not counted in
    positions. The checkpoint's generation settings (penalties, sampling) are ignored, except for its EOS tokens.
    """
    answers = [""] * len(prompts)
    with _use_greedy_config(model, tokenizer, longest):
        groups = group_by_length([len(prompt) + longest for prompt in prompts], MAX_BATCH_POSITIONS)
        found = each(partial(_generate_batch, model, tokenizer), [[prompts[i] for i in group] for group in groups])
        for group, texts in zip(groups, found, strict=True):
            for i, text in zip(group, texts, strict=True):
                answers[i] = text
    return answers


def _generate_batch(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[Sequence[int]]
) -> list[str]:
    width = max(map(len, prompts))
    pad = [[tokenizer.eos_token_id] * (width - len(prompt)) for prompt in prompts]
    ids = torch.tensor([[*left, *prompt] for left, prompt in zip(pad, prompts, strict=True)], device=model.device)
    mask = torch.tensor([[0] * len(left) + [1] * (width - len(left)) for left in pad], device=model.device)
    generating: Any = model  # every causal model has `generate`, but its type does not
    tokens = generating.generate(input_ids=ids, attention_mask=mask)
    return [decode_text(tokenizer, row) for row in tokens[:, width:].tolist()]


def decode_text(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """Decode tokens to text, without special tokens."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True)
    assert isinstance(text, str)
    return text


@contextmanager
def _use_greedy_config(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, longest: int) -> Iterator[None]:
    """Use greedy decoding in place of the checkpoint's generation settings, which `generate` would merge in."""
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=longest,
        eos_token_id=_find_end_tokens(own, tokenizer),
        pad_token_id=tokenizer.eos_token_id,
    )
    try:
        yield
    finally:
        model.generation_config = own


def _find_end_tokens(own: GenerationConfig, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return the tokens that end an answer: the tokenizer's EOS and the checkpoint's (a chat model's end of turn)."""
    more = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    return sorted({tokenizer.eos_token_id, *(end for end in more if end is not None)})
