"""Membership inference: attacks that tell forget rows from rows that no model has seen, by the model's outputs.

Three attacks score a row, higher if it looks seen; the AUC measures how well the score separates the two kinds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from eval.metrics.probability import mean_logp
from eval.models.forward import DistributionStatistics

ATTACKS = ("loss", "min_k", "min_k_plus_plus")
MIN_K_SHARE = 0.4
"""Share of an answer's tokens, the least likely ones, that min-k % reads (MUSE's and open-unlearning's k)."""


def score_attacks(labels: DistributionStatistics) -> dict[str, Tensor]:
    """Score each row [B] by each attack: loss, min-k % (Shi et al. 2024) and min-k %++ (Zhang et al. 2025)."""
    return {
        "loss": mean_logp(labels),
        "min_k": mean_of_lowest(labels.logp, labels.row),
        "min_k_plus_plus": mean_of_lowest((labels.logp.double() - labels.mean) / labels.deviation, labels.row),
    }


def mean_of_lowest(values: Tensor, row: Tensor) -> Tensor:
    """Return the mean of the lowest ⌊0.4 n⌋ (at least one) of each row's n values [B], float64."""
    parts = values.double().split(torch.bincount(row).tolist())
    return torch.stack([part.sort().values[: max(1, int(MIN_K_SHARE * len(part)))].mean() for part in parts])


def auc(members: Sequence[float], others: Sequence[float]) -> float:
    """Return the probability that a member outscores another row, ties counted half (Mann-Whitney); in [0, 1]."""
    # Imported here: it takes a third of a second in every worker, and only the full suite needs it.
    from scipy.stats import rankdata

    ranks = rankdata([*members, *others])[: len(members)]
    above = float(ranks.sum()) - len(members) * (len(members) + 1) / 2
    return above / (len(members) * len(others))


def privacy_leak(ours: float, retain: float) -> float:
    """Return MUSE's PrivLeak in per cent: (1 − AUC) relative to the retain model's; 0 is ideal, below 0 still known.

    Args:
        ours: the model's AUC.
        retain: the retain model's, below 1.
    """
    return 100 * ((1 - ours) / (1 - retain) - 1)
