"""Contract of an objective: answer tokens in, one unreduced float32 loss out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from torch import Tensor

T = TypeVar("T")

NEEDS = frozenset({"logp", "ref_logp", "logits", "ref_logits", "hidden", "direction", "refusal"})
"""Parts of `Answers` that an objective may need; the loop computes no other, and runs no layer above those."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answer positions of some whole rows, flattened: N tokens of B rows; parts that `needs` does not name are None.

    Attributes:
        row: row of each token [N], int64 in [0, B), ascending.
        label: label tokens [N], int64.
        n: answer tokens of each row [B], with EOS.
        logp: log-probability of each label under the model [N], float32, with gradient.
        nll: negative log-likelihood of each answer [B], the sum over its tokens (comes with `logp`).
        ref_logp: log-probability of each label under the reference [N].
        ref_nll: negative log-likelihood of each answer under the reference [B] (comes with `ref_logp`).
        logits: logits that predict the tokens [N, V], float32, with gradient; each call then has few rows.
        ref_logits: the reference's logits [N, V].
        hidden: hidden states of the objective's `layer` at the position that predicts the token [N, d], with gradient.
        direction: RMU's direction [d], uniform in [0, 1), not normalised.
        refusal: the same rows' questions answered with a refusal, always with `logp` and `nll` of the refusal's tokens,
            and with `ref_logp` and `ref_nll` where `needs` names `ref_logp`.
    """

    row: Tensor
    label: Tensor
    n: Tensor
    logp: Tensor | None = None
    nll: Tensor | None = None
    ref_logp: Tensor | None = None
    ref_nll: Tensor | None = None
    logits: Tensor | None = None
    ref_logits: Tensor | None = None
    hidden: Tensor | None = None
    direction: Tensor | None = None
    refusal: "Answers | None" = None


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """Forget term to be minimised; its fields are the hyper-parameters, and its call returns the loss.

    `unit` is what the loss is averaged over (tokens or rows of the 16-row batch), and sets the shape that the call
    returns: [N] or [B]. The tokens are those of the answers, or of the refusals if `needs` names `refusal`. `needs`
    names the parts of `Answers` that the loop has to fill, a subset of `NEEDS`.
    """

    unit: ClassVar[Literal["token", "row"]]
    needs: ClassVar[frozenset[str]]

    @abstractmethod
    def __call__(self, answers: Answers) -> Tensor:
        """Return the loss of each token [N] or row [B], unreduced, float32; lower is more forgotten."""


class SettingError(ValueError):
    """Hyper-parameter out of its range; the message has its name, its value and what is allowed."""


def needed(value: T | None) -> T:
    """Return a part of `Answers` that the objective's `needs` names; assert that the loop has filled it."""
    assert value is not None, "the loop did not fill what the objective's `needs` names"
    return value
