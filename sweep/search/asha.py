"""ASHA, asynchronous successive halving: after 2, 6, 18 ... epochs only the best third of the trials goes on.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (MLSys 2020). Every trial is judged at once
against those that came as far before it, so that no worker waits. The rungs are read from the study: a resumed sweep
stops the trials that a whole one would. (Ray Tune's own ASHA forgets its rungs with its driver, and Optuna's pruner
also counts attempts that failed and are run again.)

Trials are ranked by their forget ES as it is, unmixed. An estimate of the score that takes both sides as linear in the
mix was measured to rank them the wrong way round (on the grid of `tests/timings/search_quality.py` its rank correlation
with the score is -.3 after epoch 2 and -.8 after 4, that of forget ES .9 after both): mixing back restores what was to
be kept long before it restores what was forgotten, and the best settings of all look lost before it.
"""

from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

FIRST = 2
"""The first epoch after which trials are compared: until the end of the first the learning rate only warms up."""
REDUCTION = 3
"""One of so many trials goes on from a rung."""


def rung(epoch: int, epochs: int) -> bool:
    """Whether trials are compared after this epoch; never after the last epoch of a trial, which is then scored."""
    at = FIRST
    while at < epoch:
        at *= REDUCTION
    return at == epoch < epochs


def lags(forget: float, epoch: int, trials: Iterable[FrozenTrial]) -> bool:
    """Whether a trial is not among the best of those that came to this epoch; the very first one always is.

    Args:
        forget: its forget ES, lower is better.
        epoch: the epoch after which it has it.
        trials: those of the study, this one among them; failed ones do not count, they are run again.
    """
    counted = [trial for trial in trials if trial.state != TrialState.FAIL]
    reached = [trial.intermediate_values[epoch] for trial in counted if epoch in trial.intermediate_values]
    return forget > sorted(reached)[max(1, len(reached) // REDUCTION) - 1]
