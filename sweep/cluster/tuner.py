"""Run the trials of sweeps with Ray Tune, on warm workers."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import class_cache, tune_controller

from sweep.cluster import failures
from sweep.cluster.process_group import run_trial_in_processes
from sweep.cluster.resources import placement_bundles
from sweep.cluster.searcher import StudySearcher
from sweep.cluster.worker import make_trainable
from sweep.config.schema import ClusterConfig
from sweep.trial.outcomes import TrialFn

# Tune would copy these into descriptions of workers, which Ray shows and logs; nodes have their own credentials.
class_cache.ENV_VARS_TO_PROPAGATE -= {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}


class TrialActorManager(RayActorManager):
    """Actor manager that reports a worker killed for lack of memory as a dead worker.

    Tune itself aborts the whole run on an exception that is neither an error of the trial nor a RayActorError.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        known = not isinstance(exception, RayError) or isinstance(exception, RayActorError | RayTaskError)
        died = exception if known else RayActorError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, died)


vars(tune_controller)["RayActorManager"] = TrialActorManager


class StepCallback(tune.Callback):
    """Call a function after every step of Tune, at least about ten times a second, and explain failed trials."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        """Call `on_step` after every step."""
        self._on_step = on_step
        self._trials: list[Any] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Remember Tune's trials."""
        self._trials = trials

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Call the function."""
        self._on_step()

    def failure_reason(self, trial_id: str) -> str:
        """Return in one line why the process of a trial died."""
        broken = next(trial for trial in self._trials if trial.trial_id == trial_id)
        file = broken.error_file  # Tune's accessor looks where the file is copied to later
        said = Path(file).read_text(encoding="utf-8").partition("\n")[2] if file else "Ray recorded no error"
        return failures.failure_reason(said, failures.stack_path(broken.local_path))

    def __getstate__(self) -> dict[str, Any]:
        """Return no state: Tune pickles its callbacks for Tune's own restore, which sweeps never use."""
        return {}


def run_trials(
    cluster: ClusterConfig, trial_fns: Sequence[TrialFn], searcher: StudySearcher, n_slots: int, callback: StepCallback
) -> None:
    """Run the trials that the searcher suggests, at most `n_slots` at a time; `trial_fns` has one for each sweep."""
    runs = [
        trial if cluster.processes == 1 else partial(run_trial_in_processes, cluster.deadline, trial)
        for trial in trial_fns
    ]
    place = tune.PlacementGroupFactory(placement_bundles(cluster), strategy="STRICT_PACK")
    # Workers of an interrupted sweep may still write there.
    with TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True) as scratch:
        tune.Tuner(
            tune.with_resources(make_trainable(runs, cluster.deadline), place),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=n_slots,
                reuse_actors=True,
                trial_dirname_creator=str,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[callback],
                stop=searcher.should_stop,
                verbose=0,
            ),
        ).fit()
