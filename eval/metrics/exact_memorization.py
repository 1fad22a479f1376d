"""Exact memorisation: how much of an answer the model would say, each token given those before it."""

import torch
from torch import Tensor

from eval.models.forward import Labels


def exact_memorisation(labels: Labels) -> Tensor:
    """Share of the answer's tokens, with EOS, that are the most probable one [B], in [0, 1] (Tirumala et al. 2022)."""
    n = torch.bincount(labels.row)
    return torch.zeros(len(n), dtype=torch.float64).index_add(0, labels.row, labels.hit.double()) / n
