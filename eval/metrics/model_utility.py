"""Model utility (TOFU): one number for the knowledge that is kept."""

from collections.abc import Mapping
from itertools import product
from statistics import harmonic_mean

UTILITY_PARTS = ("retain", "real_authors", "world_facts")
UTILITY_METRICS = tuple("/".join(key) for key in product(UTILITY_PARTS, ("prob", "rouge_l", "truth_ratio")))
"""Metrics that are averaged, as in TOFU's aggregate_eval_stat.py."""


def model_utility(metrics: Mapping[str, float]) -> float:
    """Return the harmonic mean of the nine metrics, in [0, 1], higher is better kept; 0 if one of them is 0."""
    return float(harmonic_mean([metrics[key] for key in UTILITY_METRICS]))
