"""Forget quality (TOFU): is the model told from one that never saw the forget rows?"""

import math
from collections.abc import Sequence
from warnings import catch_warnings, simplefilter

from scipy.stats import ks_2samp

LEAST = -300.0
"""Of the logarithm: no p-value that a float holds is lost, and one that underflows to 0 is not minus infinity."""


def forget_quality(ours: Sequence[float], retain: Sequence[float]) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test of two models' truth ratios; in [0, 1], 1 is alike."""
    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # samples that are all the same: scipy says that it counts another way
        return float(ks_2samp(ours, retain).pvalue)


def floored_log10(p: float) -> float:
    """The p-value's logarithm to base 10, at least `LEAST`."""
    return max(LEAST, math.log10(p)) if p > 0 else LEAST
