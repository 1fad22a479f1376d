"""The preparation: what the trials of sweeps share is made on the cluster, in Ray tasks."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from eval.data import DataError
from sweep.config import ClusterConfig, ConfigError
from sweep.interrupts import BrokenOffError
from sweep.processes import together
from sweep.progress import View
from sweep.room import bundle, for_each
from sweep.trial import Maker, ProcessDiedError, Progress, why

BEAT = 0.1
"""Seconds between two looks at the clock and at signals."""
SENTENCES = (ConfigError, DataError)
"""Errors that the user is told as they are."""
LONGEST = 400
"""Characters of what Ray says of a process that died."""


def prepare(cluster: ClusterConfig, makers: Sequence[Maker], shown: View, beat: Callable[[], None]) -> None:
    """Make what the trials share, in Ray tasks with a trial's resources: the driver of a cluster job has no GPU.

    Raises:
        ConfigError: a maker raised it; likewise DataError.
        BrokenOffError: a maker failed otherwise, or lost its process more often than `cluster.retries` allows.
    """
    running = {_begun(cluster, maker): (maker, cluster.retries) for maker in makers}
    while running:
        ready, _ = ray.wait(list(running), timeout=BEAT)
        beat()
        for stream in ready:
            maker, retries = running.pop(stream)
            try:
                progress = _next(stream)
            except ProcessDiedError as error:
                if retries == 0:
                    raise BrokenOffError(f"the preparation failed, its process died: {_one_line(error)}") from None
                running[_begun(cluster, maker)] = maker, retries - 1
                continue
            if progress is not None:
                running[stream] = maker, retries
                shown.prepared(progress.stage, progress.done, progress.total)


def _made(maker: Maker) -> Iterator[Progress]:
    """On a node: what the maker yields; an error that is no sentence for the user is told with its place."""
    try:
        yield from maker()
    except (*SENTENCES, ProcessDiedError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise RuntimeError(why(error)) from None


def _begun(cluster: ClusterConfig, maker: Maker) -> Any:
    """The stream of what a maker yields, in a task that is under way."""
    wants = bundle(cluster) if cluster.processes == 1 else {"CPU": 0}
    options = {"num_cpus": wants.pop("CPU"), "num_gpus": wants.pop("GPU", 0), "resources": wants}
    task = ray.remote(_made).options(num_returns="streaming", max_retries=0, **options)
    return task.remote(maker if cluster.processes == 1 else partial(together, *for_each(cluster), maker))


def _next(stream: Any) -> Progress | None:
    """What a streaming task has yielded, None at its end.

    Raises:
        ConfigError: a maker raised it; likewise DataError.
        ProcessDiedError: its process died.
        BrokenOffError: it raised anything else.
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


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:LONGEST]
