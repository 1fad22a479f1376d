"""A trial, or a stage of the preparation, in several processes at once: Ray Train starts them, one for each GPU.

They are made for one trial and end with it, since Ray Train cannot lend a group of processes to the next; the worker
that starts them takes nothing of the cluster itself. Each trial pays for their start and for loading the model: nearly
all of the 50 to 60 s that a toy trial of 0.7 s took so on two cores, which were busy with other work besides.
"""

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from ray.exceptions import RayError
from ray.util.queue import Queue

from sweep.record import Record
from sweep.trial import Outcome, Point, ProcessDiedError, Run

# Ray Train reads these where it starts a group.
os.environ |= {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths stay what they are
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # one more process a trial, and a trial is begun again by the sweep
}

FREE = {"num_cpus": 0}
PATIENCE = 24 * 3600
"""Seconds that a process waits for the others: the first may wait for another sweep that makes the same artifact."""
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""What a process says of another that died."""

Item = TypeVar("Item")


def together(processes: int, wants: Mapping[str, float], work: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Do the same work in several processes on one node, and yield what that of process 0 yields.

    It goes on from an item to the next only when it is asked, and ends early where the generator is closed.

    Args:
        processes: how many.
        wants: what each of them is given, in Ray's words.
        work: what each of them does; all take the same steps.

    Raises:
        ProcessDiedError: one of them died.
        MemoryError: memory ran out for one of them.
    """
    asks, items = Queue(actor_options=FREE), Queue(actor_options=FREE)
    with TemporaryDirectory(prefix="sweep-") as scratch, ThreadPoolExecutor(max_workers=1) as thread:
        running = thread.submit(_fit, processes, wants, scratch, {"work": work, "asks": asks, "items": items})
        running.add_done_callback(lambda _: items.put(None))
        try:
            asks.put(True)
            while (item := items.get()) is not None:
                yield pickle.loads(item)  # noqa: S301 - from a process of our own
                asks.put(True)
        finally:
            asks.put(False)
    _check(running)


def run_together(processes: int, wants: Mapping[str, float], run: Run, record: Record) -> Iterator[Point | Outcome]:
    """Run a trial so; a partial of all but the record is a `Run`."""
    return together(processes, wants, partial(run, record))


def _fit(processes: int, wants: Mapping[str, float], scratch: str, given: dict[str, Any]) -> None:
    # Imported here, on a worker: the driver of a cluster job needs no torch.
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        _each,
        train_loop_config=given,
        torch_config=TorchConfig(timeout_s=PATIENCE),
        scaling_config=ScalingConfig(
            num_workers=processes,
            use_gpu=bool(wants.get("GPU")),
            resources_per_worker=dict(wants),
            placement_strategy="STRICT_PACK",
        ),
        run_config=RunConfig(
            name="processes",
            storage_path=scratch,
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),  # type: ignore[call-arg]
        ),
    ).fit()


def _each(given: dict[str, Any]) -> None:
    """What each of the processes does."""
    from sweep.unlearning.parallel import from_first, rank

    first = rank() == 0
    with closing(given["work"]()) as found:
        while from_first(given["asks"].get() if first else None):
            item = next(found, None)
            if item is None:
                return
            if first:
                given["items"].put(pickle.dumps(item))  # bytes: a queue need not import what is in it


def _check(running: "Future[None]") -> None:
    """Raise what the work raised, the same on all processes or on one of them; or that one of them died."""
    error = running.exception()
    if error is None:
        return
    failures: list[Exception] = [*getattr(error, "worker_failures", {}).values()]
    for one in failures:
        if isinstance(one, MemoryError):  # the others only lost it
            raise one
    if not failures or any(isinstance(one, RayError) or _lost(one) for one in failures):
        raise ProcessDiedError(str(error)) from error
    raise failures[0]


def _lost(error: Exception) -> bool:
    return any(words in str(error) for words in LOST)
