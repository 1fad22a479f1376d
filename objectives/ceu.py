"""Cross-entropy unlearning: the model imitates its own distribution without the label."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import distillation_loss


@dataclass(frozen=True, kw_only=True)
class CEU(Objective):
    """CE-U: ⟨−Σ_v q_v · log softmax(z)_v⟩, q = softmax of the detached z with the label at −∞.

    The first answer token of each row is skipped, as in a footnote of the source. Its loss is 0, and it counts in the
    mean over all answer tokens, so that every objective is divided by the same count and any split gives the same step.
    (open-unlearning divides by the other tokens only: its loss is larger by N/(N − B), which λ can make up for.)

    It has no hyper-parameter. Source: Yang, CE-U: Cross Entropy Unlearning, 2025 (arXiv 2503.01224).
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})

    def __call__(self, answers: Answers) -> Tensor:
        """Return each token's cross-entropy against the model without the label [N]; 0 at the first of each row."""
        logits, row = needed(answers.logits), answers.row
        first = row.diff(prepend=row.new_tensor([-1])) != 0
        return distillation_loss(logits, logits, answers.label, -math.inf).masked_fill(first, 0)
