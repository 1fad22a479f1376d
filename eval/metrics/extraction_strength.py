"""Extraction strength (ES): share of an answer that the model completes by itself after the rest is given."""

import torch
from torch import Tensor

from eval.models.forward import LabelStatistics


def extraction_strength(labels: LabelStatistics) -> Tensor:
    """Return the ES of each row [B], in [0, 1], higher is better remembered: 1 − k/n.

    k is the length of the shortest answer prefix after which every label is the most probable token under teacher
    forcing; n is the number of the answer's tokens with EOS. If all tokens are right, ES is 1; if the last is wrong,
    k = n and ES is 0. One pass is enough: greedy decoding from the prefix returns the rest of the answer exactly when
    no label after it is missed (Carlini et al., 2021; the paper's code, which calls it PS, finds k by generation).
    """
    n = torch.bincount(labels.row)
    place = torch.arange(len(labels.row)) - (n.cumsum(0) - n)[labels.row]
    missed = torch.where(labels.hit, 0, place + 1)
    k = torch.zeros_like(n).scatter_reduce(0, labels.row, missed, "amax")
    return 1 - k.double() / n
