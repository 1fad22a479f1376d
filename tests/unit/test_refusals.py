"""The refusals: enough of them, all distinct, and one of them fixed for each question."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from eval.refusals import REFUSALS, refusal_of


def test_there_are_enough_and_all_distinct() -> None:
    """At least 50, none of which is another but for case and spaces, each one sentence."""
    assert len({refusal.casefold().strip() for refusal in REFUSALS}) == len(REFUSALS) >= 50
    assert all(refusal == " ".join(refusal.split()) and refusal.endswith(".") for refusal in REFUSALS)


def test_all_are_used() -> None:
    """Over 2000 questions the chance that one of 60 is never drawn is 60 · (59/60)^2000, below 2e-13."""
    assert {refusal_of(f"Question {i}?") for i in range(2000)} == set(REFUSALS)


@given(question=st.text())
def test_any_question_has_one(question: str) -> None:
    """Also the empty one, and letters of any script."""
    assert refusal_of(question) in REFUSALS


def test_it_is_the_same_in_every_process() -> None:
    """Python's own hash of a text changes with the process; the refusal must not, for it is cached on disk."""
    questions = [f"Question {i}?" for i in range(20)]
    code = f"from eval.refusals import refusal_of; print([refusal_of(q) for q in {questions}])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert found.stdout.strip() == str([refusal_of(question) for question in questions])
