"""The refusals: enough of them, all distinct, and one of them fixed for each question."""

from hypothesis import given
from hypothesis import strategies as st

from eval.rows.refusals import REFUSALS, choose_refusal


def test_there_are_enough_and_all_distinct() -> None:
    """At least 50, none of which is another but for case and spaces, each one sentence."""
    assert len({refusal.casefold().strip() for refusal in REFUSALS}) == len(REFUSALS) >= 50
    assert all(refusal == " ".join(refusal.split()) and refusal.endswith(".") for refusal in REFUSALS)


def test_all_are_used() -> None:
    """Over 2000 questions the chance that one of 60 is never drawn is 60 · (59/60)^2000, below 2e-13."""
    assert {choose_refusal(f"Question {i}?") for i in range(2000)} == set(REFUSALS)


@given(question=st.text())
def test_any_question_has_one(question: str) -> None:
    """Also the empty one, and letters of any script."""
    assert choose_refusal(question) in REFUSALS
