"""Extraction strength against patterns of hits whose k and n are counted by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.extraction_strength import extraction_strength
from eval.models.forward import LabelStatistics


def labels(*rows: list[int]) -> LabelStatistics:
    """Labels of rows given as 0 (missed) and 1 (hit)."""
    row = torch.tensor([i for i, hits in enumerate(rows) for _ in hits])
    hit = torch.tensor([bool(h) for hits in rows for h in hits])
    return LabelStatistics(row=row, logp=torch.zeros(len(row)), hit=hit)


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([1, 1, 1, 1], 1.0),  # k = 0: nothing has to be given
        ([0, 1, 1, 1], 0.75),  # k = 1 of n = 4
        ([1, 0, 1, 1], 0.5),  # k = 2: the prefix reaches to the last miss
        ([0, 1, 0, 1], 0.25),  # k = 3
        ([1, 1, 1, 0], 0.0),  # the last token is wrong: k = n
        ([1], 1.0),  # one token, EOS alone
        ([0], 0.0),
        ([0] * 150 + [1] * 100, 0.4),  # over 200 tokens: k = 150 of n = 250
    ],
)
def test_one_row(hits: list[int], expected: float) -> None:
    """1 − k/n with k counted by hand."""
    assert extraction_strength(labels(hits)).tolist() == pytest.approx([expected])


def test_rows_do_not_mix() -> None:
    """Rows of different lengths each keep their own value: 1 − 2/3, 1, 1 − 1/2."""
    es = extraction_strength(labels([1, 0, 1], [1], [0, 1]))
    assert es.tolist() == pytest.approx([1 / 3, 1.0, 0.5])


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), min_size=1, max_size=6))
def test_equals_the_search_for_the_shortest_prefix(rows: list[list[int]]) -> None:
    """The definition, taken literally: the smallest k such that all hits from k on are 1."""
    slow = [1 - min(k for k in range(len(hits) + 1) if all(hits[k:])) / len(hits) for hits in rows]
    assert extraction_strength(labels(*rows)).tolist() == pytest.approx(slow)
