"""Greedy answers, with a cache of keys and values, in batches of prompts of similar length.

Most answers are short, but a model that has unlearned may go on without end. Answers therefore grow in rounds: those
that have ended leave their batch after each round, and only the others continue, from the prompt and what they said.
"""

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import MapFn
from eval.rows.encode import group_by_length

MAX_ANSWER_TOKENS = 200
"""Maximum tokens of an answer, as in TOFU and open-unlearning."""
MAX_BATCH_POSITIONS = 8192
"""Maximum positions of a batch, prompts and answers, padded: those that the cache holds at once."""
FIRST_ROUND_TOKENS = 25
"""Tokens by which answers grow in the first round; each later round doubles their length."""


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
    ends = _find_end_tokens(model.generation_config, tokenizer)
    answers: list[list[int]] = [[] for _ in prompts]
    growing, n_tokens = list(range(len(prompts))), 0
    while growing and n_tokens < longest:
        n_new = min(max(FIRST_ROUND_TOKENS, n_tokens), longest - n_tokens)
        with _use_greedy_config(model, tokenizer, ends, n_new):
            found = _generate_round(model, tokenizer, [[*prompts[i], *answers[i]] for i in growing], n_new, each)
        for i, said in zip(growing, found, strict=True):
            answers[i] += said
        growing = [i for i in growing if ends.isdisjoint(answers[i])]
        n_tokens += n_new
    return [decode_text(tokenizer, answer) for answer in answers]


def _generate_round(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[list[int]], n_new: int, each: MapFn
) -> list[list[int]]:
    """Generate the next `n_new` tokens of each text; EOS fills up those that end earlier."""
    groups = group_by_length([len(text) + n_new for text in texts], MAX_BATCH_POSITIONS)
    found = each(partial(_generate_batch, model, tokenizer), [[texts[i] for i in group] for group in groups])
    said = dict(zip(chain(*groups), chain(*found), strict=True))
    return [said[i] for i in range(len(texts))]


def _generate_batch(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: list[list[int]]
) -> list[list[int]]:
    width = max(map(len, texts))
    pad = [[tokenizer.eos_token_id] * (width - len(text)) for text in texts]
    ids = torch.tensor([[*left, *text] for left, text in zip(pad, texts, strict=True)], device=model.device)
    mask = torch.tensor([[0] * len(left) + [1] * (width - len(left)) for left in pad], device=model.device)
    generating: Any = model  # every causal model has `generate`, but its type does not
    tokens = generating.generate(input_ids=ids, attention_mask=mask)
    new: list[list[int]] = tokens[:, width:].tolist()
    return new


def decode_text(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """Decode tokens to text, without special tokens."""
    text = tokenizer.decode(list(ids), skip_special_tokens=True)
    assert isinstance(text, str)
    return text


@contextmanager
def _use_greedy_config(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, ends: Set[int], n_new: int
) -> Iterator[None]:
    """Use greedy decoding in place of the checkpoint's generation settings, which `generate` would merge in."""
    own = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=n_new, eos_token_id=sorted(ends), pad_token_id=tokenizer.eos_token_id
    )
    try:
        yield
    finally:
        model.generation_config = own


def _find_end_tokens(own: GenerationConfig, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Return the tokens that end an answer: the tokenizer's EOS and the checkpoint's (a chat model's end of turn)."""
    more = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    return frozenset({tokenizer.eos_token_id, *(end for end in more if end is not None)})
