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
from sweep.callbacks import View
from sweep.cluster.failures import told
from sweep.cluster.process_group import together
from sweep.cluster.resources import bundles, options
from sweep.config.schema import ClusterConfig
from sweep.errors import BrokenOffError, ConfigError, ProcessDiedError
from sweep.prepare.artifacts import Progress
from sweep.prepare.preparers import Maker
from sweep.trial.runner import why

BEAT = 0.1
"""Longest wait for progress before signals and the clock are checked again."""
SENTENCES = (ConfigError, DataError)
"""Errors whose message is already a sentence for the user."""


def prepare(cluster: ClusterConfig, makers: Sequence[Maker], shown: View, beat: Callable[[], None]) -> None:
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
        running = [stack.enter_context(closing(Making(cluster, maker))) for maker in makers]
        while running:
            ready, _ = ray.wait([one.stream for one in running], timeout=BEAT)
            beat()
            for one in [one for one in running if one.stream in ready]:
                if progress := one.step():
                    shown.prepared(progress.stage, progress.done, progress.total)
                elif one.over:
                    running.remove(one)


class Making:
    """A preparer that runs as a Ray task, and is restarted when its process dies.

    Attributes:
        stream: generator of the preparer's progress; `ray.wait` takes it.
        is_done: True once the preparer has ended.
    """

    def __init__(self, cluster: ClusterConfig, maker: Maker) -> None:
        """Submit the task."""
        self._cluster, self._maker, self._retries, self.over = cluster, maker, cluster.retries, False
        self._begin()

    def step(self) -> Progress | None:
        """Return the next progress; None if the preparer has ended, or was restarted after its process died.

        Raises:
            ConfigError: the preparer raised it; likewise DataError.
            BrokenOffError: the preparer failed otherwise, or lost its process too often.
        """
        try:
            progress = _next(self.stream)
        except ProcessDiedError as error:
            self._begin_again(error)
            return None
        if progress is None:
            self.close()
        return progress

    def close(self) -> None:
        """End the task and all its processes."""
        self.over = True
        remove_placement_group(self._group)

    def _begin(self) -> None:
        wants = bundles(self._cluster)
        self._group = placement_group(wants, strategy="STRICT_PACK")
        task = ray.remote(_made).options(
            num_returns="streaming",
            max_retries=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 0),
            **options(wants[0]),
        )
        self.stream = task.remote(self._maker if len(wants) == 1 else partial(together, self._maker))

    def _begin_again(self, error: Exception) -> None:
        remove_placement_group(self._group)
        if self._retries == 0:
            raise BrokenOffError(f"the preparation failed, its process died: {told(str(error))}") from None
        self._retries -= 1
        self._begin()


def _made(maker: Maker) -> Iterator[Progress]:
    """Run a preparer on a node and yield its progress; errors other than `USER_ERRORS` get their location added."""
    try:
        yield from maker()
    except (*SENTENCES, ProcessDiedError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise RuntimeError(why(error)) from None


def _next(stream: Any) -> Progress | None:
    """Return the next progress that a streaming task has yielded, None at its end.

    Raises:
        ConfigError: the preparer raised it; likewise DataError.
        ProcessDiedError: the process of the task died.
        BrokenOffError: the preparer raised anything else.
    """
    try:
        progress: Progress = ray.get(next(stream))
    except StopIteration:
        return None
    except RayTaskError as error:
        if isinstance(error.cause, (*SENTENCES, ProcessDiedError)):
            raise error.cause from None
        raise BrokenOffError(f"the preparation failed: {error.cause}") from None
    except RayError as error:
        raise ProcessDiedError(error) from None
    return progress
