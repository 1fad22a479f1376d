"""Negative preference optimisation: DPO's loss with the answer as the dispreferred one, and no other."""

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
        beta: β > 0, how soon a row that is forgotten is left alone; towards 0 it is gradient ascent on whole rows.
    """

    unit = "row"
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp"})

    beta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        above_zero("beta", self.beta)

    def __call__(self, answers: Answers) -> Tensor:
        """The preference loss of each row [B]."""
        return preference_loss(needed(answers.nll) - needed(answers.ref_nll), self.beta)
