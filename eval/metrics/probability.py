"""Probability of an answer, by token: p̄ = exp(−NLL/n), n the number of the answer's tokens with EOS."""

import torch
from torch import Tensor

from eval.models.forward import LabelStatistics


def mean_logp(labels: LabelStatistics) -> Tensor:
    """Return the mean log-probability of the answer tokens of each text, ln p̄ [B], float64; at most 0."""
    n = torch.bincount(labels.row)
    return torch.zeros(len(n), dtype=torch.float64).index_add(0, labels.row, labels.logp.double()) / n


def probability(labels: LabelStatistics) -> Tensor:
    """Return p̄ of each text [B], in [0, 1], higher is better known."""
    return mean_logp(labels).exp()


def probability_share(right: Tensor, wrong: Tensor, of: Tensor) -> Tensor:
    """Return p̄(right) / (p̄(right) + Σ p̄(wrong)) of each row [B], in [0, 1], higher is better known.

    It is computed from logarithms, so that the share is defined even if all probabilities underflow to 0.

    Args:
        right: ln p̄ of the right answer [B].
        wrong: ln p̄ of each wrong answer [W].
        of: the row of each wrong answer [W].
    """
    against = torch.zeros_like(right).index_add(0, of, (wrong - right[of]).clamp(max=700).exp())
    return 1 / (1 + against)
