"""Memory that runs out, in the words of whoever says it: one line that says what takes less."""

import mmap
from collections.abc import Iterator

import pytest
import torch

from sweep.cluster.process_group import _cause
from sweep.errors import ProcessDiedError
from sweep.records import Record
from sweep.training.out_of_memory import LESS, in_words
from sweep.trial.outcomes import Outcome, Point
from sweep.trial.runner import grow


def too_much() -> None:
    """More than any machine has."""
    torch.empty(2**60)


def too_much_python() -> None:
    """As much, of Python."""
    bytearray(2**62)


def too_much_of_the_system() -> None:
    """As much, of the system."""
    mmap.mmap(-1, 2**62)


def a_card_is_full() -> None:
    """As a GPU says it, over several lines."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")


@pytest.mark.parametrize("work", [too_much, too_much_python, too_much_of_the_system, a_card_is_full])
def test_memory_that_ran_out_is_one_line(work: object) -> None:
    """Whatever is raised becomes a MemoryError that says what helps."""
    assert callable(work)
    with pytest.raises(MemoryError) as caught, in_words():
        work()
    said = str(caught.value)
    assert said.startswith("memory ran out") and said.endswith(LESS) and "\n" not in said


def test_other_errors_are_what_they_are() -> None:
    """A shape that does not fit is no matter of memory."""
    with pytest.raises(RuntimeError, match="must match"), in_words():
        torch.ones(2) + torch.ones(3)


def test_it_ends_the_process_of_the_trial() -> None:
    """It is raised to Ray, which ends the process, as if that had died; another error is how the trial has failed."""

    def too_large(record: Record) -> Iterator[Point | Outcome]:
        yield Point(epoch=1, metrics={})
        with in_words():
            too_much()

    growing = grow(too_large, Record(phase="search", index=0, setting={}, seed=0, state="running"))
    assert next(growing).state == "running"
    with pytest.raises(MemoryError, match=r"^memory ran out \("):
        next(growing)


LOST = RuntimeError("[...] Connection closed by peer [127.0.0.1]:1")
DIED = ProcessDiedError("the actor died")


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([LOST, MemoryError("memory ran out")], "MemoryError('memory ran out')"),
        ([LOST, DIED], "ProcessDiedError('the actor died')"),
        ([LOST], "ProcessDiedError('[...] Connection closed by peer [127.0.0.1]:1')"),
        ([ValueError("no"), KeyError("alpha")], "ValueError('no')"),
    ],
)
def test_of_several_processes_that_which_failed_first_is_told(failures: list[Exception], said: str) -> None:
    """The others only lost their neighbour."""
    assert repr(_cause(failures)) == said
