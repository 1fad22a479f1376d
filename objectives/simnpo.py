"""Simple NPO: the mean cross-entropy of a row against a margin, without a reference."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import above_zero, at_least_zero, preference_loss


@dataclass(frozen=True, kw_only=True)
class SimNPO(Objective):
    """SimNPO(β, δ): (2/β) · mean over rows of softplus(−β (NLL/n − δ)), n the row's tokens.

    Source: Fan et al., Simplicity Prevails, NeurIPS 2025 (arXiv 2410.07163); their margin γ is β·δ.

    Attributes:
        beta: β > 0, speed at which the gradient of a forgotten row fades.
        delta: δ ≥ 0, mean cross-entropy in nats around which a row counts as forgotten.
    """

    unit = "row"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    beta: float
    delta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        above_zero("beta", self.beta)
        at_least_zero("delta", self.delta)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the preference loss of each row [B]; a row without tokens counts as one whose cross-entropy is 0."""
        mean = needed(answers.nll) / answers.n.clamp(min=1)
        return preference_loss(mean - self.delta, self.beta)
