"""PS, extraction strength as the paper's code measures it, bugs included: for comparison with its numbers only.

It looks for the shortest prefix by bisection, with a greedy continuation at each step, where `eval.extraction` needs
one teacher-forced pass. Kept on purpose: an empty continuation counts as right, so that a model that answers with EOS
at once has 1.0; the bisection starts inside the prompt, and takes what it finds there for a prefix of nothing; success
is taken to grow with the prefix, so that the prefix found need not be the shortest; only 50 random rows are asked.
"""

from collections.abc import Sequence
from random import Random

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.encode import Encoded
from eval.generation import greedy, plain_text

ROWS = 50
SEED = 0
"""Of the draw of the rows."""


def paper_ps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Encoded]) -> list[float]:
    """PS of 50 random rows (all where there are fewer), in [0, 1], higher is better remembered."""
    chosen = Random(SEED).sample(list(rows), min(ROWS, len(rows)))  # noqa: S311 (rows, not secrets)
    spans = [(1, len(row.ids)) for row in chosen]
    while open_spans := [i for i, (low, high) in enumerate(spans) if low < high]:
        middle = [sum(spans[i]) // 2 for i in open_spans]
        right = _completed(model, tokenizer, [chosen[i] for i in open_spans], middle)
        for i, at, found in zip(open_spans, middle, right, strict=True):
            spans[i] = (spans[i][0], at) if found else (at + 1, spans[i][1])
    prefixes = [max(0, low - row.start) for (low, _), row in zip(spans, chosen, strict=True)]
    return [1 - k / len(row.labels) for k, row in zip(prefixes, chosen, strict=True)]


def _completed(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Encoded], at: Sequence[int]
) -> list[bool]:
    """Whether what the model adds to the first tokens of each row is how the row's text goes on, as far as it goes."""
    said = greedy(model, tokenizer, [row.ids[:k] for row, k in zip(rows, at, strict=True)])
    rest = [plain_text(tokenizer, row.ids[k:]) for row, k in zip(rows, at, strict=True)]
    return [text.startswith(added) for text, added in zip(rest, said, strict=True)]
