"""Gradient ascent: the negative cross-entropy of the answers."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed


@dataclass(frozen=True, kw_only=True)
class GA(Objective):
    """GA: −⟨CE⟩ over answer tokens.

    It has no hyper-parameter. Source: Maini et al., TOFU, 2024 (arXiv 2401.06121), baseline methods.
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    def __call__(self, answers: Answers) -> Tensor:
        """Return the log-probability of each token [N]."""
        return needed(answers.logp)
