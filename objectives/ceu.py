"""Cross-entropy unlearning: the model imitates itself, but for the label, which is forbidden."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import distillation


@dataclass(frozen=True, kw_only=True)
class CEU(Objective):
    """CE-U: ⟨−Σ_v q_v · log softmax(z)_v⟩, q = softmax of the detached z with the label at −∞.

    The first answer token of each row is skipped, as a footnote of the source does. It then gives 0 and stays in the
    mean over all answer tokens, so that every objective is divided by the same count and any split gives the same step.
    (open-unlearning divides by the tokens that are left: its loss is larger by N/(N − B), which λ takes up.)

    It has no hyper-parameter. Source: Yang, CE-U: Cross Entropy Unlearning, 2025 (arXiv 2503.01224).
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})

    def __call__(self, answers: Answers) -> Tensor:
        """The cross-entropy of each token against the model without the label [N]; 0 at the first of each row."""
        logits, row = needed(answers.logits), answers.row
        first = row.diff(prepend=row.new_tensor([-1])) != 0
        return distillation(logits, logits, answers.label, -math.inf).masked_fill(first, 0)
