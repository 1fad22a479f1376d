"""Small terms that several objectives share, each exact in float32 however small a probability is."""

import math

from torch import Tensor, nn

from objectives._base import SettingError

EPSILON = 1e-5
"""Added to the denominator of the token-wise preference weight, as the paper's code does."""


def preference_weight(logp: Tensor, ref_logp: Tensor, alpha: float, beta: float) -> Tensor:
    """Return the weight 2 p^(α+β) / (p^β + p_o^β + 1e-5) of each token [N], detached, in [0, 2)."""
    p, ref = (beta * logp.detach()).exp(), (beta * ref_logp).exp()
    return 2 * ((alpha + beta) * logp.detach()).exp() / (p + ref + EPSILON)


def preference_loss(forgotten: Tensor, beta: float) -> Tensor:
    """Return (2/β) · softplus(−β x) of each row [B], where x measures how far it is forgotten, in nats; above 0.

    It uses logsigmoid, which is exact in both tails; torch's softplus is linear from 20 on.
    """
    return -2 / beta * nn.functional.logsigmoid(beta * forgotten)


def distillation_loss(logits: Tensor, teacher: Tensor, label: Tensor, shift: float) -> Tensor:
    """Return the cross-entropy of softmax(logits) against softmax(teacher + shift · 1[v = label]) per token [N].

    Args:
        logits: the model's logits [N, V].
        teacher: the logits to imitate [N, V]; detached.
        label: the label tokens [N].
        shift: number added to the teacher's logit of the label; −∞ forbids the label.
    """
    target = teacher.detach().scatter(1, label[:, None], shift, reduce="add").softmax(1)
    return nn.functional.cross_entropy(logits, target, reduction="none")


def at_least_zero(name: str, value: float) -> None:
    """Refuse a hyper-parameter below zero, or not finite."""
    if not (math.isfinite(value) and value >= 0):
        raise SettingError(f"{name} = {value} must be a finite number of at least 0")


def above_zero(name: str, value: float) -> None:
    """Refuse a hyper-parameter that is not above zero, or not finite."""
    if not (math.isfinite(value) and value > 0):
        raise SettingError(f"{name} = {value} must be a finite number above 0")


def at_least_one(name: str, value: int) -> None:
    """Refuse a hyper-parameter that is not a whole number from 1 on."""
    if type(value) is not int or value < 1:
        raise SettingError(f"{name} = {value!r} must be a whole number of at least 1")


def true_or_false(name: str, value: bool) -> None:
    """Refuse a hyper-parameter that is not a bool."""
    if type(value) is not bool:
        raise SettingError(f"{name} = {value!r} must be true or false")
