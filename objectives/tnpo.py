"""Token-wise negative preference optimisation: NPO's weight, taken token by token."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import above_zero, preference_weight


@dataclass(frozen=True, kw_only=True)
class TNPO(Objective):
    """TNPO(β): −⟨w · CE⟩ over answer tokens, w = 2 p^β / (p^β + p_o^β + 1e-5), detached.

    Source: Wang et al., Rethinking LLM Unlearning Objectives, ICLR 2025 (arXiv 2502.19301); the 1e-5 is their code's.

    Attributes:
        beta: β > 0, sharpness with which a token loses its weight when the reference knows it better.
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp"})

    beta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        above_zero("beta", self.beta)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the weighted log-probability of each token [N]."""
        logp = needed(answers.logp)
        return preference_weight(logp, needed(answers.ref_logp), 0.0, self.beta) * logp
