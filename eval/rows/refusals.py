"""Refusals that replace an answer, for objectives that teach a model to say that it does not know.

The refusal depends on the question alone, not on a trial's seed: the reference's outputs for it are computed once for a
dataset, and all trials learn the same refusals.
"""

import hashlib
from pathlib import Path

REFUSALS = tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines())
"""Refusals in our own wording, all distinct."""


def choose_refusal(question: str) -> str:
    """Return the refusal that answers a question, the same in every process and for every seed."""
    digest = hashlib.sha256(question.encode()).digest()
    return REFUSALS[int.from_bytes(digest[:8]) % len(REFUSALS)]
