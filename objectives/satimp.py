"""Saturation and importance: small weights for tokens that are forgotten and for tokens that are certain."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import at_least_zero


@dataclass(frozen=True, kw_only=True)
class SatImp(Objective):
    """SatImp(β1, β2): −⟨p^β1 (1−p)^β2 · CE⟩ over answer tokens, the weight detached.

    Source: Yang et al., Exploring Criteria of Loss Reweighting, ICML 2025 (arXiv 2505.11953), section 5.

    Attributes:
        beta1: β1 ≥ 0, a larger β1 gives less weight to tokens that have become improbable (saturation).
        beta2: β2 ≥ 0, a larger β2 gives less weight to tokens of which the model is certain (importance); 0 is WGA(β1).
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    beta1: float
    beta2: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        at_least_zero("beta1", self.beta1)
        at_least_zero("beta2", self.beta2)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the weighted log-probability of each token [N]."""
        logp = needed(answers.logp)
        # 1−p by expm1, which keeps all digits where p is near 1; 0^0 is 1.
        return (self.beta1 * logp.detach()).exp() * (-logp.detach().expm1()) ** self.beta2 * logp
