"""Preference optimisation by refusal: the model learns to say that it does not know."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed


@dataclass(frozen=True, kw_only=True)
class IDK(Objective):
    """IDK: ⟨CE⟩ over the tokens of a refusal that is fixed per row.

    It has no hyper-parameter. Source: preference optimisation in Maini et al., TOFU, 2024 (arXiv 2401.06121).
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"refusal"})

    def __call__(self, answers: Answers) -> Tensor:
        """Return the cross-entropy of each token of the refusals [N]."""
        return -needed(needed(answers.refusal).logp)
