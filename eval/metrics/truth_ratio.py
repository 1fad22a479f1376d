"""Truth ratio (TOFU): probability of wrong answers relative to the right one."""

import torch
from torch import Tensor

MAX_LOG_RATIO = 700.0
"""Bound of |ln R|, so that R and its mean over rows stay finite for a model that is destroyed."""


def truth_ratio(right: Tensor, wrong: Tensor, of: Tensor) -> Tensor:
    """Return R of each row [B], above 0: exp(mean_i ln p̄(wrong_i) − ln p̄(right)); 1 where both are as likely.

    Args:
        right: ln p̄ of the right answer [B], paraphrased where the wrong ones are made from its paraphrase.
        wrong: ln p̄ of each wrong answer [W].
        of: the row of each wrong answer [W]; every row has one.
    """
    mean = torch.zeros_like(right).index_add(0, of, wrong) / torch.bincount(of)
    return (mean - right).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


def closeness_to_one(ratio: Tensor) -> Tensor:
    """Return min(R, 1/R) of each row, in (0, 1]: 1 if right and wrong are as likely, TOFU's form on forget rows."""
    return torch.minimum(ratio, 1 / ratio)


def margin_below_one(ratio: Tensor) -> Tensor:
    """Return max(0, 1 − R) of each row, in [0, 1]: the lead of the right answer, TOFU's form on all other rows."""
    return (1 - ratio).clamp(min=0)
