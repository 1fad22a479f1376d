"""Run the trials of sweeps by Ray Tune, on warm workers."""

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
from sweep.cluster.process_group import run_together
from sweep.cluster.resources import bundles
from sweep.cluster.searcher import StudySearcher
from sweep.cluster.worker import trainable
from sweep.config.schema import ClusterConfig
from sweep.trial.outcomes import Run

# Tune would pass these on in descriptions of workers, which Ray shows and logs; nodes have credentials of their own.
class_cache.ENV_VARS_TO_PROPAGATE -= {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}


class Actors(RayActorManager):
    """Tune's workers, of which one that Ray ends because its node runs out of memory has died as others do.

    Tune itself breaks off over what is neither an error of the trial nor a RayActorError.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        known = not isinstance(exception, RayError) or isinstance(exception, RayActorError | RayTaskError)
        died = exception if known else RayActorError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, died)


vars(tune_controller)["RayActorManager"] = Actors


class Beat(tune.Callback):
    """Calls a function after every step of Tune, about ten times a second or more, and knows why a trial broke."""

    def __init__(self, beat: Callable[[], None]) -> None:
        """Call `beat`."""
        self._beat = beat
        self._trials: list[Any] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """A step begins."""
        self._trials = trials

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """A step is over."""
        self._beat()

    def why(self, trial_id: str) -> str:
        """What Ray says of a trial whose process died, in one line."""
        broken = next(trial for trial in self._trials if trial.trial_id == trial_id)
        file = broken.error_file  # Tune's own accessor looks where it is copied to, later
        said = Path(file).read_text(encoding="utf-8").partition("\n")[2] if file else "without a word"
        return failures.why(said, failures.stack_of(broken.local_path))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore of its own, which this sweep never uses."""
        return {}


def fit(cluster: ClusterConfig, trials: Sequence[Run], searcher: StudySearcher, at_once: int, step: Beat) -> None:
    """Run what the searcher hands out, `at_once` trials at a time; `trials` has a function for each sweep."""
    runs = [trial if cluster.processes == 1 else partial(run_together, cluster.deadline, trial) for trial in trials]
    place = tune.PlacementGroupFactory(bundles(cluster), strategy="STRICT_PACK")
    # Where a sweep is interrupted its workers may still write there.
    with TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True) as scratch:
        tune.Tuner(
            tune.with_resources(trainable(runs, cluster.deadline), place),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=str,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[step],
                stop=searcher.stops,
                verbose=0,
            ),
        ).fit()
