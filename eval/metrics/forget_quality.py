"""Forget quality (TOFU): test of the difference to a model that never saw the forget rows."""

import math
from collections.abc import Sequence
from warnings import catch_warnings, simplefilter

MIN_LOG10 = -300.0
"""Lower bound of the logarithm: below that of any p-value a float holds, and finite where one underflows to 0."""


def forget_quality(ours: Sequence[float], retain: Sequence[float]) -> float:
    """Return the two-sample Kolmogorov-Smirnov test's p-value of two models' truth ratios; in [0, 1], 1 is alike."""
    # Imported here: it takes a third of a second in every worker, and only the full suite needs it.
    from scipy.stats import ks_2samp

    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # scipy warns that it uses another method for equal samples
        return float(ks_2samp(ours, retain).pvalue)


def floored_log10(p: float) -> float:
    """Return the p-value's logarithm to base 10, at least `MIN_LOG10`."""
    return max(MIN_LOG10, math.log10(p)) if p > 0 else MIN_LOG10
