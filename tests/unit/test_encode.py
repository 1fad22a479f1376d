"""Where labels begin, what is padded, and how rows are grouped."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.rows.encode import collate, encode, group_by_length
from eval.rows.types import DataError
from support.toys import TEMPLATE, encoded, tokenizer
from sweep.config.schema import Template

TOKENIZER = tokenizer()


def text(ids: tuple[int, ...]) -> str:
    """What the tokens say."""
    said = TOKENIZER.decode(list(ids))
    assert isinstance(said, str)
    return said


@pytest.mark.parametrize("answer", ["Paris", "a\nb\n\nc", "Überraschung 東京 🙂", "x", "word " * 300])
def test_labels_are_the_answer(answer: str) -> None:
    """The labels read as the template's answer part, closed by EOS: newlines, non-ASCII, one token, 300 words."""
    row = encode(TOKENIZER, TEMPLATE, "Where?", answer)
    assert text(row.labels[:-1]) == f" {answer}"
    assert row.labels[-1] == TOKENIZER.eos_token_id


@given(question=st.text(max_size=30), answer=st.text(max_size=30))
def test_prompt_and_labels_are_the_whole_text(question: str, answer: str) -> None:
    """Nothing is lost at the boundary; a token that straddles it is a label (so the labels may begin earlier)."""
    row = encode(TOKENIZER, TEMPLATE, question, answer)
    whole = f"Question: {question}\nAnswer: {answer}"
    assert text(row.ids[:-1]) == whole
    assert whole.endswith(text(row.labels[:-1]))
    assert len(text(row.labels[:-1])) >= len(f" {answer}")


def test_braces_in_a_row_are_text() -> None:
    """A question that holds {answer} or {0} is not a template."""
    row = encode(TOKENIZER, TEMPLATE, "What is {answer} {0}?", "{question}")
    assert text(row.ids[:-1]) == "Question: What is {answer} {0}?\nAnswer: {question}"


def test_an_answer_needs_something_before_it() -> None:
    """Without a prompt no token predicts the first label: refused."""
    with pytest.raises(DataError, match="no token before the answer"):
        encode(TOKENIZER, Template(question="{question}", answer="{answer}"), "", "x")


def test_collate_by_hand() -> None:
    """Two rows of 2 + 2 and 1 + 1 tokens: EOS is never an input, position i − 1 predicts label i."""
    long, short = encoded((2, 2), (1, 1))
    batch = collate([long, short], torch.device("cpu"))
    assert batch.ids.tolist() == [list(long.ids[:3]), [short.ids[0], short.ids[1], short.ids[1]]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.row.tolist() == [0, 0, 1]
    assert batch.position.tolist() == [1, 2, 0]
    assert batch.label.tolist() == [*long.ids[2:], short.ids[1]]
    assert batch.n.tolist() == [2, 1]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 120))
def test_groups_hold_each_row_once_within_the_limit(lengths: list[int], tokens: int) -> None:
    """A partition; padded area at most `tokens` unless a row is alone; rows of a group are of neighbouring length."""
    groups = group_by_length(lengths, tokens)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    assert all(len(g) == 1 or max(lengths[i] for i in g) * len(g) <= tokens for g in groups)
    flat = [lengths[i] for group in groups for i in group]
    assert flat == sorted(flat, reverse=True)
