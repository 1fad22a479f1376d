"""The refusal of a question, asked for in another process."""

import subprocess
import sys

from eval.rows.refusals import choose_refusal


def test_it_is_the_same_in_every_process() -> None:
    """Python's own hash of a text changes with the process; the refusal must not, for it is cached on disk."""
    questions = [f"Question {i}?" for i in range(20)]
    code = f"from eval.rows.refusals import choose_refusal; print([choose_refusal(q) for q in {questions}])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert found.stdout.strip() == str([choose_refusal(question) for question in questions])
