"""Direct preference optimisation: the model learns to prefer a refusal to the answer."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import above_zero, preference_loss


@dataclass(frozen=True, kw_only=True)
class DPO(Objective):
    """DPO(β): (2/β) · mean over rows of softplus(−β [(NLL_o − NLL)(refusal) − (NLL_o − NLL)(answer)]).

    The refusal is fixed per row. Sources: Rafailov et al., NeurIPS 2023 (arXiv 2305.18290); as an objective of
    unlearning, with NPO's factor 2/β, Zhang et al., Negative Preference Optimization, COLM 2024 (arXiv 2404.05868).

    Attributes:
        beta: β > 0, speed at which the gradient of a row fades when its refusal gains on its answer.
    """

    unit = "row"
    needs: ClassVar[frozenset[str]] = frozenset({"logp", "ref_logp", "refusal"})

    beta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        above_zero("beta", self.beta)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the preference loss of each row [B]."""
        return preference_loss(_likelihood_gain(needed(answers.refusal)) - _likelihood_gain(answers), self.beta)


def _likelihood_gain(answers: Answers) -> Tensor:
    """Return the log-likelihood of each answer under the model minus that under the reference [B], in nats."""
    return needed(answers.ref_nll) - needed(answers.nll)
