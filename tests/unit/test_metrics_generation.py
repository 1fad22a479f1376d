"""Greedy answers, ROUGE-L recall, and the paper's PS with its bugs."""

import pytest
import torch
from transformers import GenerationConfig

from eval.metrics.paper_extraction_strength import N_ROWS, paper_ps
from eval.metrics.rouge import rouge_l
from eval.models import generation
from eval.models.generation import MAX_ANSWER_TOKENS, decode_text, generate_greedy
from eval.rows.encode import encode
from eval.rows.types import Row
from support.toys import encoded, llama, tokenizer
from support.unigrams import TEMPLATE, unigram

TOKENIZER = tokenizer()
MODEL = llama()
PROMPTS = [row.inputs for row in encoded((5, 3), (2, 1), (9, 6), (4, 4))]


@torch.no_grad()
def slow(prompt: tuple[int, ...], longest: int) -> str:
    """Token by token, one row, no cache."""
    ids = list(prompt)
    while len(ids) < len(prompt) + longest:
        token = int(MODEL(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token == TOKENIZER.eos_token_id:
            break
        ids.append(token)
    return decode_text(TOKENIZER, ids[len(prompt) :])


@pytest.mark.parametrize("positions", [1, 60, 8192])
def test_greedy_is_the_argmax_whatever_the_batch(monkeypatch: pytest.MonkeyPatch, positions: int) -> None:
    """With cache and left padding each prompt gets the text that it gets alone, token by token."""
    monkeypatch.setattr(generation, "MAX_BATCH_POSITIONS", positions)
    assert generate_greedy(MODEL, TOKENIZER, PROMPTS, 12) == [slow(prompt, 12) for prompt in PROMPTS]


def test_the_checkpoints_own_way_is_left_aside() -> None:
    """A checkpoint that samples and penalises repetition answers the same, and keeps its way for others."""
    own = GenerationConfig(do_sample=True, temperature=9.0, repetition_penalty=9.0, min_new_tokens=3)
    plain, before = generate_greedy(MODEL, TOKENIZER, PROMPTS, 12), MODEL.generation_config
    MODEL.generation_config = own
    try:
        assert generate_greedy(MODEL, TOKENIZER, PROMPTS, 12) == plain
        assert MODEL.generation_config is own
    finally:
        MODEL.generation_config = before


def test_an_answer_ends_at_the_checkpoints_eos_too() -> None:
    """A chat model's end of turn, here `x`, ends the answer of a model that says nothing else."""
    model = unigram(x=0.5)
    assert generate_greedy(model, TOKENIZER, [(1, 2)]) == ["x" * MAX_ANSWER_TOKENS]
    model.generation_config = GenerationConfig(eos_token_id=[TOKENIZER.convert_tokens_to_ids("x")])
    assert generate_greedy(model, TOKENIZER, [(1, 2)], 1) == ["x"]
    assert generate_greedy(model, TOKENIZER, [(1, 2)]) == ["x"]


@pytest.mark.parametrize(
    ("answer", "said", "recall"),
    [
        ("the cat sat on the mat", "the cat lay on a mat", 4 / 6),  # the, cat, on, mat
        ("one two three", "three two one", 1 / 3),  # one of them, in order
        ("one two", "zero one and two and more", 1),  # nothing is taken away for more words
        ("Prizes, won\nin 1999", "prize won in 1999.", 1),  # stems, capitals, points and newlines do not matter
        ("one", "", 0),
        ("東京", "東京", 0),  # no letter that rouge-score counts
    ],
)
def test_rouge_by_hand(answer: str, said: str, recall: float) -> None:
    """Words of the answer in the longest common subsequence, by the answer's words."""
    assert rouge_l([answer], [said]) == [pytest.approx(recall)]


def rows(*answers: str) -> list[Row]:
    """Rows with the question q, one token."""
    return [Row(question="q", answer=answer) for answer in answers]


def test_ps_of_a_model_that_says_nothing_is_one() -> None:
    """The paper's bug: EOS at once is taken for a right completion of every prefix."""
    assert paper_ps(unigram(end=0.5), TOKENIZER, TEMPLATE, rows("xxx", "y", "a\nb")) == [1.0, 1.0, 1.0]


def test_ps_counts_from_inside_the_prompt() -> None:
    """All is right once the three x are left: k = n − 3, and s = 1 token of the bare question, so 3 / (n − 1)."""
    n = len(encode(TOKENIZER, TEMPLATE, "q", "xxx").inputs)
    assert paper_ps(unigram(x=0.5), TOKENIZER, TEMPLATE, rows("xxx")) == [pytest.approx(3 / (n - 1))]


def test_ps_of_a_model_that_is_never_right_is_zero() -> None:
    """What is said, x, is not how the last token goes on: k = n."""
    assert paper_ps(unigram(x=0.5), TOKENIZER, TEMPLATE, rows("yyy")) == [0.0]


def test_ps_comes_in_the_order_of_the_rows() -> None:
    """All is right once the x are left: their share of the text grows with their number, as in the rows asked."""
    found = paper_ps(unigram(x=0.5), TOKENIZER, TEMPLATE, rows(*("x" * n for n in range(1, 6))))
    assert found == sorted(found) and len({*found}) == 5


def test_ps_asks_fifty_rows_the_same_each_time() -> None:
    """60 rows of lengths 1 to 60: 50 values, the same twice."""
    sixty = rows(*("x" * n for n in range(1, 61)))
    model = unigram(end=0.5)
    assert len(paper_ps(model, TOKENIZER, TEMPLATE, sixty)) == N_ROWS == 50
    assert paper_ps(model, TOKENIZER, TEMPLATE, sixty) == paper_ps(model, TOKENIZER, TEMPLATE, sixty)
