"""Self-distillation with adjusted logits: the model imitates the reference, with the label's logit lowered."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import at_least_zero, distillation_loss


@dataclass(frozen=True, kw_only=True)
class UNDIAL(Objective):
    """UNDIAL(β): ⟨−Σ_v softmax(z_o − β·1[v=y])_v · log softmax(z)_v⟩ over answer tokens y.

    z and z_o are the logits of the model and the reference. Source: Dong et al., NAACL 2025 (arXiv 2402.10052).

    Attributes:
        beta: β ≥ 0, amount by which the label's logit is lowered; 0 imitates the reference as it is.
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logits", "ref_logits"})

    beta: float

    def __post_init__(self) -> None:
        """Check the bounds."""
        at_least_zero("beta", self.beta)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the cross-entropy of each token against the adjusted reference [N]."""
        return distillation_loss(needed(answers.logits), needed(answers.ref_logits), answers.label, -self.beta)
