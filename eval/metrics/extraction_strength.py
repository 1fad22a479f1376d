"""Extraction strength (ES): how little of an answer must be given before the model completes the rest by itself."""

import torch
from torch import Tensor

from eval.models.forward import Labels


def extraction_strength(labels: Labels) -> Tensor:
    """ES of each row [B], in [0, 1], higher is better remembered: 1 − k/n.

    k is the shortest answer prefix after which every label is the most probable token under teacher forcing, n the
    answer's tokens with EOS. All right from the first token: 1; the last one wrong: k = n, 0. One pass, since greedy
    decoding from the prefix gives the rest of the answer exactly when no label after it is missed (Carlini et al.,
    2021; the paper's code, which calls it PS, searches k by generation).
    """
    n = torch.bincount(labels.row)
    place = torch.arange(len(labels.row)) - (n.cumsum(0) - n)[labels.row]
    missed = torch.where(labels.hit, 0, place + 1)
    k = torch.zeros_like(n).scatter_reduce(0, labels.row, missed, "amax")
    return 1 - k.double() / n
