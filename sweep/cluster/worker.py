"""Make the function that Ray Tune runs for each trial."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sweep.cluster.failures import exit_at_deadline, stack_path
from sweep.trial.outcomes import TrialFn
from sweep.trial.runner import run_trial


def make_trainable(
    trial_fns: Sequence[TrialFn], deadline: float | None = None
) -> Callable[[dict[str, Any]], Iterator[dict[str, Any]]]:
    """Return the function that Ray Tune runs for each trial, whose config holds the record and the sweep's index.

    Args:
        trial_fns: the function of each sweep, which runs its trials.
        deadline: hours after which a trial counts as hung, and its process exits; None: no limit.
    """

    def trial(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        # Imported here, on the worker, so that importing this module alone does not load Ray.
        from ray import tune

        with exit_at_deadline(deadline, stack_path(tune.get_context().get_trial_dir())):
            for record in run_trial(trial_fns[config["sweep"]], config["record"]):
                yield {"record": record}

    return trial
