"""Where labels begin, what is padded, and how rows are grouped."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from eval.rows.encode import collate, encode, group_by_length
from eval.rows.types import DataError
from support.toys import TEMPLATE, encoded, tokenizer
from support.vocabularies import BOS, EOS, POST_PROCESSORS, TURN, make_tokenizer
from sweep.config.template import Template

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


MANY = [make_tokenizer(post_processor) for post_processor in POST_PROCESSORS]


@given(
    tokens=st.sampled_from(MANY),
    front=st.sampled_from(["", BOS]),
    ending=st.sampled_from(["", EOS, TURN]),
    question=st.text(min_size=1, max_size=20),
    answer=st.text(max_size=20),
)
def test_one_bos_and_one_end(
    tokens: PreTrainedTokenizerFast, front: str, ending: str, question: str, answer: str
) -> None:
    """Whatever tokenizer and template add: BOS once where one of them adds it, and one end, which is the last label."""
    template = Template(question=front + "Q: {question} A: ", answer="{answer}" + ending)
    row = encode(tokens, template, question, answer)
    has_bos = bool(front) or tokens("x")["input_ids"][0] == tokens.bos_token_id
    assert row.ids.count(tokens.bos_token_id) == has_bos
    assert (row.ids[0] == tokens.bos_token_id) == has_bos
    texts = tokens.convert_ids_to_tokens(list(row.ids))
    assert [token for token, text in zip(row.ids, texts, strict=True) if text in (EOS, TURN)] == [row.labels[-1]]
    assert row.labels[-1] == tokens.convert_tokens_to_ids(ending or EOS)
    text = tokens(answer, add_special_tokens=False)["input_ids"]
    assert len(row.labels) <= len(text) + 2  # a space before it may be part of the first token


@pytest.mark.parametrize("tokens", MANY)
def test_labels_of_an_answer_of_one_word(tokens: PreTrainedTokenizerFast) -> None:
    """The answer's tokens, then EOS, also where the tokenizer appends EOS itself."""
    row = encode(tokens, Template(question="{question} ", answer="{answer}"), "Who?", "calm")
    assert tokens.convert_ids_to_tokens(list(row.labels)) == ["calm", EOS]
    empty = encode(tokens, Template(question="{question}" + EOS, answer="{answer}"), "Who?", "")
    assert tokens.convert_ids_to_tokens(list(empty.ids))[-2:] == [EOS, EOS]
    assert len(empty.labels) == 1


def test_an_answer_needs_an_end() -> None:
    """A tokenizer without EOS is refused, unless the template has an end of its own."""
    tokens = make_tokenizer()
    tokens.eos_token = None
    own = Template(question="{question}", answer="{answer}" + TURN)
    assert encode(tokens, own, "Who?", "calm").labels[-1:] == (tokens.convert_tokens_to_ids(TURN),)
    with pytest.raises(DataError, match="no EOS token"):
        encode(tokens, TEMPLATE, "Who?", "calm")


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
