"""Negative preference optimisation: DPO's loss with the answer as the rejected one, and without a preferred one."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import above_zero, preference_loss


@dataclass(frozen=True, kw_only=True)
class NPO(Objective):
    """NPO(β): (2/β) · mean over rows of softplus(−β (NLL − NLL_o)).

    Source: Zhang et al., Negative Preference Optimization, COLM 2024 (arXiv 2404.05868).

    Attributes:
        beta: β > 0, speed at which the gradient of a forgotten row fades; the limit at 0 is gradient ascent on rows.
    """

    unit = "row"
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp"})

    beta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        above_zero("beta", self.beta)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the preference loss of each row [B]."""
        return preference_loss(needed(answers.nll) - needed(answers.ref_nll), self.beta)
