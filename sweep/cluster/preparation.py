"""Prepare the artifacts that the trials of sweeps share, in Ray tasks on the cluster."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from eval.rows.types import DataError
from sweep.callbacks import SweepsDisplay
from sweep.cluster.failures import summarize_ray_error
from sweep.cluster.process_group import run_in_processes
from sweep.cluster.resources import placement_bundles, ray_options
from sweep.config.schema import ClusterConfig
from sweep.errors import BrokenOffError, ConfigError, ProcessDiedError
from sweep.prepare.artifacts import StageProgress
from sweep.prepare.preparers import Preparer
from sweep.trial.runner import describe_error

POLL_INTERVAL_S = 0.1
"""Longest wait for progress before signals and the clock are checked again."""
USER_ERRORS = (ConfigError, DataError)
"""Errors whose message is already a sentence for the user."""


def run_preparation(
    cluster: ClusterConfig, preparers: Sequence[Preparer], display: SweepsDisplay, on_step: Callable[[], None]
) -> None:
    """Run the preparers in Ray tasks with a trial's resources, because the driver of a cluster job has no GPU.

    Args:
        cluster: resources of a task, and how often one is restarted after its process died.
        preparers: run side by side.
        display: is told the progress of each stage.
        on_step: is called at least every `POLL_INTERVAL_S` seconds; may raise to end the preparation.

    Raises:
        ConfigError: a preparer raised it; likewise DataError.
        BrokenOffError: a preparer failed otherwise, or lost its process more often than `cluster.retries` allows.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(closing(PreparationTask(cluster, maker))) for maker in preparers]
        while running:
            ready, _ = ray.wait([one.stream for one in running], timeout=POLL_INTERVAL_S)
            on_step()
            for one in [one for one in running if one.stream in ready]:
                if progress := one.next_progress():
                    display.on_prepared(progress.stage, progress)
                elif one.is_done:
                    running.remove(one)


class PreparationTask:
    """A preparer that runs as a Ray task, and is restarted when its process dies.

    Attributes:
        stream: generator of the preparer's progress; `ray.wait` takes it.
        is_done: True once the preparer has ended.
    """

    def __init__(self, cluster: ClusterConfig, preparer: Preparer) -> None:
        """Submit the task."""
        self._cluster, self._preparer, self._n_retries_left, self.is_done = cluster, preparer, cluster.retries, False
        self._submit_task()

    def next_progress(self) -> StageProgress | None:
        """Return the next progress; None if the preparer has ended, or was restarted after its process died.

        Raises:
            ConfigError: the preparer raised it; likewise DataError.
            BrokenOffError: the preparer failed otherwise, or lost its process too often.
        """
        try:
            progress: StageProgress = ray.get(next(self.stream))
            return progress
        except StopIteration:
            self.close()
        except RayTaskError as error:
            if isinstance(error.cause, USER_ERRORS):
                raise error.cause from None
            if not isinstance(error.cause, ProcessDiedError):
                raise BrokenOffError(f"the preparation failed: {error.cause}") from None
            self._restart_task(error.cause)
        except RayError as error:
            self._restart_task(error)
        return None

    def close(self) -> None:
        """End the task and all its processes."""
        self.is_done = True
        remove_placement_group(self._group)

    def _submit_task(self) -> None:
        wants = placement_bundles(self._cluster)
        self._group = placement_group(wants, strategy="STRICT_PACK")
        task = ray.remote(_run_preparer).options(
            num_returns="streaming",
            max_retries=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 0),
            **ray_options(wants[0]),
        )
        work = self._preparer if len(wants) == 1 else partial(run_in_processes, self._preparer)
        self.stream: Any = task.remote(work)

    def _restart_task(self, error: Exception) -> None:
        remove_placement_group(self._group)
        if self._n_retries_left == 0:
            raise BrokenOffError(
                f"the preparation failed, its process died: {summarize_ray_error(str(error))}"
            ) from None
        self._n_retries_left -= 1
        self._submit_task()


def _run_preparer(preparer: Preparer) -> Iterator[StageProgress]:
    """Run a preparer on a node and yield its progress; errors other than `USER_ERRORS` get their location added."""
    try:
        yield from preparer()
    except (*USER_ERRORS, ProcessDiedError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise RuntimeError(describe_error(error)) from None
