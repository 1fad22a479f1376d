"""ASHA, asynchronous successive halving: only the best third of the trials continues after epochs 2, 6, 18 ...

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (MLSys 2020). Each trial is compared at once
with those that reached the same epoch before it, so that no worker waits. The rungs are read from the study, so that a
resumed sweep stops the same trials as an uninterrupted one. (Ray Tune's own ASHA loses its rungs with its driver, and
Optuna's pruner also counts failed attempts, which are run again.)

Trials are ranked by their forget ES before any mixing with the target. An estimate of the score that takes forget and
retain ES as linear in the mix was measured to reverse the ranking: on the grid of `tests/timings/search_quality.py` its
rank correlation with the score is -.3 after epoch 2 and -.8 after epoch 4; that of forget ES is .9 after both. Mixing
with the target restores retain ES long before it restores forget ES, and before mixing the best settings look lost.
"""

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

FIRST_RUNG_EPOCH = 2
"""The first epoch after which trials are compared: during epoch 1 the learning rate only warms up."""
REDUCTION_FACTOR = 3
"""One in this many trials continues from a rung."""


def is_rung(epoch: int, epochs: int) -> bool:
    """Return True if trials are compared after `epoch`; never after the last of `epochs`, when the trial is scored."""
    at = FIRST_RUNG_EPOCH
    while at < epoch:
        at *= REDUCTION_FACTOR
    return at == epoch < epochs


def should_prune(forget: float, epoch: int, trials: Iterable[FrozenTrial]) -> bool:
    """Return True if a trial is not among the best that reached this epoch; never for the first to reach it.

    Args:
        forget: the trial's forget ES, lower is better.
        epoch: the epoch after which it was measured.
        trials: all trials of the study, this one included; failed ones are ignored, because they are run again.
    """
    counted = [trial for trial in trials if trial.state != TrialState.FAIL]
    reached = [trial.intermediate_values[epoch] for trial in counted if epoch in trial.intermediate_values]
    return forget > sorted(reached)[max(1, len(reached) // REDUCTION_FACTOR) - 1]
