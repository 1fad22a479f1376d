"""PS, extraction strength as the paper's group measures it, bugs included: only for comparison with its numbers.

Where `extraction_strength` needs one teacher-forced pass, PS bisects for the prefix after which a greedy continuation
is right. It keeps the following of evaluation_everything.py (tmlr-group/Unlearning-with-Control) on purpose:

- the bisection starts after as many tokens as the bare question has, inside the prompt, as does the score;
- success is assumed to grow with the prefix;
- an empty continuation counts as right, so that a model that answers with EOS at once scores 1.0;
- 200 tokens in all, 50 random rows.

It differs in two points: another generator draws the rows, and their text is that of the model's own template.
"""

from collections.abc import Sequence
from random import Random

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import MapFn
from eval.models.generation import MAX_ANSWER_TOKENS, decode_text, generate_greedy
from eval.rows.encode import Template, encode
from eval.rows.types import Row

N_ROWS = 50
ROW_SEED = 42
"""Seed that draws the rows."""


def paper_ps(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    template: Template,
    rows: Sequence[Row],
    each: MapFn = map,
) -> list[float]:
    """Return the PS of 50 random rows (all if fewer), in the order of `rows`: 1 − (k − s)/(n − s).

    It is in [0, 1], and higher is better remembered.
    n is the number of tokens of the whole text, s that of the bare question, k that of the prefix found.
    """
    places = Random(ROW_SEED).sample(range(len(rows)), min(N_ROWS, len(rows)))  # noqa: S311 (rows, not secrets)
    chosen = [rows[place] for place in sorted(places)]
    texts = [list(encode(tokenizer, template, row.question, row.answer).inputs) for row in chosen]
    starts = [len(_tokenize_text(tokenizer, row.question)) for row in chosen]
    low, high, middle = starts, [len(text) for text in texts], [-1] * len(texts)
    while middle != (middle := [(a + b) // 2 for a, b in zip(low, high, strict=True)]):
        right = _check_continuations(model, tokenizer, texts, middle, each)
        low = [a if found else at for a, at, found in zip(low, middle, right, strict=True)]
        high = [at if found else b for b, at, found in zip(high, middle, right, strict=True)]
    return [1 - (k - s) / (len(text) - s) for k, s, text in zip(high, starts, texts, strict=True)]


def _check_continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[list[int]],
    at: Sequence[int],
    each: MapFn,
) -> list[bool]:
    """Check that the model's tokens after the first `at` of each text are the text's, as far as both go."""
    prefixes = [decode_text(tokenizer, text[:k]) for text, k in zip(texts, at, strict=True)]
    prompts = [_tokenize_text(tokenizer, prefix) for prefix in prefixes]
    continuations = generate_greedy(model, tokenizer, prompts, MAX_ANSWER_TOKENS, each)
    whole = [
        _tokenize_text(tokenizer, prefix + more)[:MAX_ANSWER_TOKENS]
        for prefix, more in zip(prefixes, continuations, strict=True)
    ]
    added = [tokens[k : len(text)] for tokens, k, text in zip(whole, at, texts, strict=True)]
    return [text[k : k + len(more)] == more for text, k, more in zip(texts, at, added, strict=True)]


def _tokenize_text(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return list(tokenizer(text)["input_ids"])
