"""Sentences that a reader of a sweep's numbers has to know, said before it begins, in its runs and in its report."""

import math

from eval.models.packaged import describe_weights
from sweep.config.schema import SweepConfig


def list_notes(config: SweepConfig, n_holdout: int | None) -> list[str]:
    """List what is to be known of a sweep beside its configuration.

    Args:
        config: the sweep.
        n_holdout: number of its holdout rows; None if they cannot be loaded.
    """
    weights = describe_weights(config.model.path)
    notes = [] if weights is None else [f"model.path = {config.model.path}: {weights}"]
    few = "" if n_holdout is None else warn_of_few_rows(config.score.tau, n_holdout)
    return [*notes, few] if few else notes


def warn_of_few_rows(tau: float, n_holdout: int) -> str:
    """Return a sentence if one holdout row is a larger share of retention than `tau` may lose, else an empty text.

    Retain ES is a mean over the rows, each of which has between 0 and 1: the loss of one row is 1 / `n_holdout` of it
    or less. At tau = 1 not the least may be lost, whatever the number of rows.
    """
    if tau == 1 or n_holdout >= (needed := math.ceil(round(1 / (1 - tau), 6))):
        return ""
    share, allowed = f"{100 / n_holdout:.3g} %", f"{100 * (1 - tau):.3g} %"
    return (
        f"one of {n_holdout} holdout rows is {share} of retention, but score.tau = {tau:g} may lose only {allowed}, so"
        f" that a single row decides the score: it takes at least {needed} (data.max_holdout), and many more for a"
        " score that a row's luck does not move"
    )
