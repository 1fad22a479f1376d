"""Weighted token-wise NPO: TNPO with the confidence weight of WGA on top."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import above_zero, at_least_zero, preference_weight


@dataclass(frozen=True, kw_only=True)
class WTNPO(Objective):
    """WTNPO(α, β): −⟨w · CE⟩ over answer tokens, w = 2 p^(α+β) / (p^β + p_o^β + 1e-5), detached.

    Source: Wang et al., Rethinking LLM Unlearning Objectives, ICLR 2025 (arXiv 2502.19301); the 1e-5 is their code's.

    Attributes:
        alpha: α ≥ 0, a larger α gives less weight to tokens that have become improbable; 0 is TNPO(β).
        beta: β > 0, sharpness with which a token loses its weight when the reference knows it better.
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp"})

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        at_least_zero("alpha", self.alpha)
        above_zero("beta", self.beta)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the weighted log-probability of each token [N]."""
        logp = needed(answers.logp)
        return preference_weight(logp, needed(answers.ref_logp), self.alpha, self.beta) * logp
