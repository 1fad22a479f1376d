"""Model utility (TOFU): one number for what is kept."""

from collections.abc import Mapping
from itertools import product
from statistics import harmonic_mean

PARTS = ("retain", "real_authors", "world_facts")
NINE = tuple("/".join(key) for key in product(PARTS, ("prob", "rouge_l", "truth_ratio")))
"""What is averaged, as TOFU's aggregate_eval_stat.py has it."""


def model_utility(metrics: Mapping[str, float]) -> float:
    """Harmonic mean of the nine, in [0, 1], higher is better kept; 0 where one of them is 0."""
    return float(harmonic_mean([metrics[key] for key in NINE]))
