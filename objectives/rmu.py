"""Representation misdirection: push the hidden states on forget rows to one random direction."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from objectives._base import Answers, Objective, needed
from objectives._terms import above_zero, at_least_one, true_or_false


@dataclass(frozen=True, kw_only=True)
class RMU(Objective):
    """RMU(layer, c): ⟨mean over d of (h − c·u)²⟩ over answer tokens, u uniform in [0, 1)^d.

    h is the hidden state after `layer` layers at the position that predicts the token; u is drawn once per seed, and
    with `normalize` divided by its length. Sources: Li et al., WMDP, ICML 2024 (arXiv 2403.03218), normalised;
    Wang et al., Rethinking LLM Unlearning Objectives, ICLR 2025 (arXiv 2502.19301), whose code does not normalise.

    Attributes:
        layer: whole number ≥ 1, the layer that is steered; the sweep refuses the model's last layer and beyond.
        c: c > 0, factor of the direction to which the hidden states are pushed.
        normalize: true or false, true divides the direction by its length.
    """

    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden", "direction"})

    layer: int
    c: float
    normalize: bool

    def __post_init__(self) -> None:
        """Check the bounds."""
        at_least_one("layer", self.layer)
        above_zero("c", self.c)
        true_or_false("normalize", self.normalize)

    def __call__(self, answers: Answers) -> Tensor:
        """Return the mean squared distance of each token's hidden state to c times the direction [N]."""
        direction = needed(answers.direction)
        direction = direction / direction.norm() if self.normalize else direction
        return (needed(answers.hidden) - self.c * direction).square().mean(1)
