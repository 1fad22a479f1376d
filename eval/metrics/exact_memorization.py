"""Exact memorisation: share of an answer's tokens that the model predicts, each from the tokens before it."""

import torch
from torch import Tensor

from eval.models.forward import LabelStatistics


def exact_memorisation(labels: LabelStatistics) -> Tensor:
    """Return the share of the answer's tokens, with EOS, that are the argmax [B], in [0, 1] (Tirumala et al. 2022)."""
    n = torch.bincount(labels.row)
    return torch.zeros(len(n), dtype=torch.float64).index_add(0, labels.row, labels.hit.double()) / n
