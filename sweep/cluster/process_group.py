"""A trial, or a stage of the preparation, in several processes at once, on one node, one for each GPU: Ray actors.

They take the bundles after the first of the placement group in which a worker runs, and wait there for its next trial,
the model in their memory. They end with the worker and with the group, however these end.
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

from sweep.cluster.failures import stack_of, told_after
from sweep.cluster.resources import options
from sweep.errors import ProcessDiedError
from sweep.records import Record, now
from sweep.trial.outcomes import Outcome, Point, Run
from sweep.trial.runner import place_of

LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""What a process says of another that died."""
GRACE = 2.0
"""Seconds after a failure in which others may say what they saw."""

Item = TypeVar("Item")


def together(work: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Do the same work in each process of this worker's placement group, and yield what that of process 0 yields.

    It goes on from an item to the next only when it is asked, and ends early where the generator is closed.

    Args:
        work: what each of them does; all take the same steps.

    Raises:
        ProcessDiedError: one of them died.
        MemoryError: memory ran out for one of them.
    """
    group = get_current_placement_group()
    assert group is not None, "a worker outside a placement group"
    processes = _processes(group)
    try:
        _all([one.begin.remote(work) for one in processes])
        while (item := _all([one.step.remote() for one in processes])[0]) is not None:
            yield item
    except GeneratorExit:
        _all([one.close.remote() for one in processes])
        raise
    except BaseException:
        _end(processes)
        raise


def run_together(deadline: float | None, run: Run, record: Record) -> Iterator[Point | Outcome]:
    """Run a trial so; a partial of all but the record is a `Run`.

    Args:
        deadline: hours from the trial's start after which this worker ends, and all of them with it; None: no limit.
        run: the function of each of them.
        record: the trial.
    """
    stack = stack_of(tune.get_context().get_trial_dir())
    return together(partial(traced, deadline, stack, run, record))


def traced(deadline: float | None, stack: Path, run: Run, record: Record) -> Iterator[Point | Outcome]:
    """In each of them: the trial, of which it says where it is when the deadline comes."""
    left = deadline and deadline - (now() - record.started) / 3600
    with told_after(left, stack.with_suffix(f".{os.environ['RANK']}.stack")):
        yield from run(record)


class Process:
    """One of the processes."""

    def cards(self) -> list[str]:
        """The GPUs that Ray gives it, at most one."""
        return ray.get_runtime_context().get_accelerator_ids()["GPU"]

    def see(self, cards: Sequence[str]) -> None:
        """See the GPUs of all, in the order of their ranks: NCCL copies between those that it sees."""
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(cards)

    def open(self) -> int:
        """Open the place where all find one another; gives its port."""
        # Imported here, on a worker: the driver of a cluster job needs no torch.
        from sweep.training.distributed import place

        self._place = place()  # as long as this process lives
        return self._place.port

    def join(self, port: int, rank: int, size: int) -> None:
        """Find the others at the port."""
        from sweep.training.distributed import join

        join(port, rank, size)

    def begin(self, work: Callable[[], Iterator[Any]]) -> None:
        """Begin work, which does nothing yet."""
        self._found: Any = work()

    def step(self) -> Any:
        """What the work yields next; None at its end. An error knows its place, which it would lose on its way."""
        try:
            return next(self._found, None)
        except Exception as error:
            vars(error)["place"] = place_of(error)
            raise

    def close(self) -> None:
        """End it early."""
        self._found.close()


@lru_cache(maxsize=1)
def _processes(group: PlacementGroup) -> list[Any]:
    """The processes in a group's bundles, which know of one another; they are kept for the next trial."""
    kind: Any = ray.remote(Process)
    processes = [
        kind.options(**options(wants), scheduling_strategy=PlacementGroupSchedulingStrategy(group, bundle)).remote()
        for bundle, wants in list(enumerate(group.bundle_specs))[1:]
    ]
    cards = [card for own in _all([one.cards.remote() for one in processes]) for card in own]
    _all([one.see.remote(cards) for one in processes])
    port = ray.get(processes[0].open.remote())
    _all([one.join.remote(port, rank, len(processes)) for rank, one in enumerate(processes)])
    return processes


def _end(processes: Sequence[Any]) -> None:
    """End them; the next trial has new ones."""
    _processes.cache_clear()
    for one in processes:
        ray.kill(one)


def _all(calls: Sequence[Any]) -> list[Any]:
    """What the calls give; where one of them fails the others may wait for it for ever, and are not waited for."""
    left = list(calls)
    while left:
        over, left = ray.wait(left)
        if failures := _failures(over):
            others, _ = ray.wait(left, num_returns=len(left), timeout=GRACE) if left else ([], [])
            raise _cause([*failures, *_failures(others)])
    return ray.get(list(calls))


def _failures(calls: Sequence[Any]) -> list[Exception]:
    """What those of the calls raised that failed."""
    failures: list[Exception] = []
    for call in calls:
        try:
            ray.get(call)
        except RayTaskError as error:
            failures.append(error.cause)
        except RayError as error:
            failures.append(ProcessDiedError(str(error)))
    return failures


def _cause(failures: Sequence[Exception]) -> Exception:
    """The failure of which the others come: where memory ran out or a process died the others only lost it."""
    ran_out = [one for one in failures if isinstance(one, MemoryError)]
    died = [one for one in failures if isinstance(one, ProcessDiedError)]
    lost = [ProcessDiedError(str(one)) for one in failures if any(words in str(one) for words in LOST)]
    return [*ran_out, *died, *lost, *failures][0]
