"""Memory that runs out, in the words of whoever says it: one line that says what takes less."""

import mmap
from collections.abc import Iterator

import pytest
import torch

from sweep.cluster.process_group import _find_root_cause
from sweep.errors import ProcessDiedError
from sweep.records import TrialRecord
from sweep.training.out_of_memory import MEMORY_SAVING_HINT, translate_out_of_memory
from sweep.trial.outcomes import EpochResult, TrialOutcome
from sweep.trial.runner import run_trial


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
    with pytest.raises(MemoryError) as caught, translate_out_of_memory():
        work()
    said = str(caught.value)
    assert said.startswith("memory ran out") and said.endswith(MEMORY_SAVING_HINT) and "\n" not in said


def test_other_errors_are_what_they_are() -> None:
    """A shape that does not fit is no matter of memory."""
    with pytest.raises(RuntimeError, match="must match"), translate_out_of_memory():
        torch.ones(2) + torch.ones(3)


def test_it_ends_the_process_of_the_trial() -> None:
    """It is raised to Ray, which ends the process, as if that had died; another error is how the trial has failed."""

    def too_large(record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
        yield EpochResult(epoch=1, metrics={})
        with translate_out_of_memory():
            too_much()

    growing = run_trial(too_large, TrialRecord(phase="search", index=0, setting={}, seed=0, state="running"))
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
    assert repr(_find_root_cause(failures)) == said
