"""Run a trial, or a preparer, in several processes on one node, one for each GPU.

The processes are Ray actors in the placement group of their worker: the worker has the first bundle, each process
one of the others. Between trials they stay alive with the model in memory. They end with the worker or with the group,
however these end.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from sweep.cluster.failures import dump_stack_at_deadline, stack_path
from sweep.cluster.resources import ray_options
from sweep.errors import ProcessDiedError
from sweep.records import TrialRecord, now
from sweep.trial.outcomes import TrialFn, TrialItem
from sweep.trial.runner import error_location

LOST_PEER_MESSAGES = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""Parts of the errors that a process raises when it loses its connection to one that died."""
PEER_REPORT_TIMEOUT_S = 2.0
"""Time after the first failure in which other processes may report theirs."""

Item = TypeVar("Item")


def run_in_processes(work: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Run the same work in each process of this worker's placement group, and yield the items of process 0.

    All processes advance by one item at a time, only when the caller asks for the next one. Closing the generator ends
    the work early.

    Args:
        work: makes the generator that each process runs; all must yield equally often.

    Raises:
        ProcessDiedError: a process died.
        MemoryError: a process ran out of memory.
    """
    group = get_current_placement_group()
    assert group is not None, "a worker outside a placement group"
    processes = _acquire_processes(group)
    try:
        _gather_results([one.begin_work.remote(work) for one in processes])
        while (item := _gather_results([one.next_item.remote() for one in processes])[0]) is not None:
            yield item
    except GeneratorExit:
        _gather_results([one.end_work.remote() for one in processes])
        raise
    except BaseException:
        _acquire_processes.cache_clear()
        for one in processes:
            ray.kill(one)
        raise


def run_trial_in_processes(deadline: float | None, run: TrialFn, record: TrialRecord) -> Iterator[TrialItem]:
    """Run a trial in the processes of this worker; a partial of all arguments but the record is a `TrialFn`.

    Args:
        deadline: hours from the trial's start after which this worker exits, and all processes with it; None: no limit.
        run: the function that each process runs.
        record: the trial.
    """
    stack = stack_path(tune.get_context().get_trial_dir())
    return run_in_processes(partial(run_rank, deadline, stack, run, record))


def run_rank(deadline: float | None, stack: Path, run: TrialFn, record: TrialRecord) -> Iterator[TrialItem]:
    """Run the trial in one process, which dumps its stack when the deadline comes."""
    left = deadline and deadline - (now() - record.started) / 3600
    with dump_stack_at_deadline(left, stack.with_suffix(f".{os.environ['RANK']}.stack")):
        yield from run(record)


class RankProcess:
    """Ray actor that runs one rank of a trial."""

    def list_gpus(self) -> list[str]:
        """Return the ids of the GPUs that Ray assigned to this process, at most one."""
        return ray.get_runtime_context().get_accelerator_ids()["GPU"]

    def set_visible_gpus(self, gpus: Sequence[str]) -> None:
        """Make the GPUs of all ranks visible, in rank order, because NCCL copies only between visible GPUs."""
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)

    def open_port(self) -> int:
        """Host the rendezvous of all ranks, and return its port."""
        # Imported here, on a worker: the driver of a cluster job needs no torch.
        from sweep.training.distributed import host_rendezvous

        self._meeting_place = host_rendezvous()  # keeps the rendezvous open as long as this process lives
        return self._meeting_place.port

    def join_group(self, port: int, rank: int, size: int) -> None:
        """Join the process group whose rendezvous is at the port."""
        from sweep.training.distributed import join_process_group

        join_process_group(port, rank, size)

    def begin_work(self, work: Callable[[], Iterator[Any]]) -> None:
        """Make the generator of the work, without running it yet."""
        self._items: Any = work()

    def next_item(self) -> Any:
        """Return the next item of the work, None at its end; errors carry their location, which Ray would drop."""
        try:
            return next(self._items, None)
        except Exception as error:
            vars(error)["place"] = error_location(error)
            raise

    def end_work(self) -> None:
        """End the work early."""
        self._items.close()


@lru_cache(maxsize=1)
def _acquire_processes(group: PlacementGroup) -> list[Any]:
    """Start one process in each bundle after the first, joined to one process group; cached for the next trial."""
    kind: Any = ray.remote(RankProcess)
    processes = [
        kind.options(**ray_options(wants), scheduling_strategy=PlacementGroupSchedulingStrategy(group, bundle)).remote()
        for bundle, wants in list(enumerate(group.bundle_specs))[1:]
    ]
    cards = [card for own in _gather_results([one.list_gpus.remote() for one in processes]) for card in own]
    _gather_results([one.set_visible_gpus.remote(cards) for one in processes])
    port = ray.get(processes[0].open_port.remote())
    _gather_results([one.join_group.remote(port, rank, len(processes)) for rank, one in enumerate(processes)])
    return processes


def _gather_results(calls: Sequence[Any]) -> list[Any]:
    """Return the results of the calls; raise the root cause once one fails, since others may wait for it forever."""
    left = list(calls)
    while left:
        over, left = ray.wait(left)
        if failures := _collect_failures(over):
            others, _ = ray.wait(left, num_returns=len(left), timeout=PEER_REPORT_TIMEOUT_S) if left else ([], [])
            raise _find_root_cause([*failures, *_collect_failures(others)])
    return ray.get(list(calls))


def _collect_failures(calls: Sequence[Any]) -> list[Exception]:
    """Return the exceptions of the calls that failed."""
    failures: list[Exception] = []
    for call in calls:
        try:
            ray.get(call)
        except RayTaskError as error:
            failures.append(error.cause)
        except RayError as error:
            failures.append(ProcessDiedError(str(error)))
    return failures


def _find_root_cause(failures: Sequence[Exception]) -> Exception:
    """Return the failure that caused the others: out of memory first, then a dead process, then a lost connection."""
    ran_out = [one for one in failures if isinstance(one, MemoryError)]
    died = [one for one in failures if isinstance(one, ProcessDiedError)]
    lost = [ProcessDiedError(str(one)) for one in failures if any(words in str(one) for words in LOST_PEER_MESSAGES)]
    return [*ran_out, *died, *lost, *failures][0]
