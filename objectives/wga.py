"""Weighted gradient ascent: tokens that have become improbable have less weight."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import at_least_zero


@dataclass(frozen=True, kw_only=True)
class WGA(Objective):
    """WGA(α): −⟨p^α · CE⟩ over answer tokens, p^α detached.

    Source: Wang et al., Rethinking LLM Unlearning Objectives, ICLR 2025 (arXiv 2502.19301).

    Attributes:
        alpha: α ≥ 0, a larger α gives less weight to tokens that have become improbable; 0 is GA.
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    alpha: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        at_least_zero("alpha", self.alpha)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the weighted log-probability of each token [N]."""
        logp = needed(answers.logp)
        return (self.alpha * logp.detach()).exp() * logp
