"""The contract of an objective: answer tokens in, one unreduced float32 loss out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from torch import Tensor

T = TypeVar("T")

NEEDS = frozenset({"logp", "ref_logp", "logits", "ref_logits", "hidden", "direction", "refusal"})
"""What an objective may ask for; the loop computes nothing else, and runs no layer above what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answer positions of some whole rows, flattened: N tokens of B rows. What `needs` does not name is None.

    Attributes:
        row: row of each token [N], int64 in [0, B), rising.
        label: the label tokens [N], int64.
        n: answer tokens of each row [B], with EOS.
        logp: log-probability of each label under the model [N], float32, with gradient.
        nll: negative log-likelihood of each answer [B], the sum over its tokens (comes with `logp`).
        ref_logp: log-probability of each label under the reference [N].
        ref_nll: negative log-likelihood of each answer under the reference [B] (comes with `ref_logp`).
        logits: logits that predict the tokens [N, V], float32, with gradient; the loop then gives few rows at a time.
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
    """A forget term to be minimised; its fields are the hyper-parameters, its call the loss.

    `unit` says over what the loss is averaged (tokens or rows of the 16-row batch) and so the shape of what the call
    returns: [N] or [B]; for tokens these are the answers', or the refusals' where `needs` names `refusal`. `needs`
    names the parts of `Answers` that the loop has to fill, a subset of `NEEDS`.
    """

    unit: ClassVar[Literal["token", "row"]]
    needs: ClassVar[frozenset[str]]

    @abstractmethod
    def __call__(self, answers: Answers) -> Tensor:
        """The loss of each token [N] or row [B], unreduced, float32; lower is more forgotten."""


class SettingError(ValueError):
    """A hyper-parameter is out of its range; the message names it, its value and what is allowed."""


def needed(value: T | None) -> T:
    """The part of `Answers` that the objective's `needs` names."""
    assert value is not None, "the loop did not fill what the objective's `needs` names"
    return value
