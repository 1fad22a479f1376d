"""Memory that a trial's thread freed goes back to the system."""

import ctypes
import weakref
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from support.toys import config, dataset
from sweep.prepare.artifacts import locate_artifacts
from sweep.records import TrialRecord
from sweep.training import freed_memory
from sweep.training.freed_memory import return_freed_memory
from sweep.trial import unlearn
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.runner import run_trial
from sweep.trial.runner import unlearn as unlearn_trial

PIECE, PIECES = 16_000, 2000
"""Floats of a tensor that glibc takes from an arena (64 kB), and tensors: 128 MB together."""


def resident() -> float:
    """This process's memory that is not a file's, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) / 1e3


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_a_thread_that_waits_keeps_nothing_that_it_freed() -> None:
    """The last of its tensors stays, above all that is free in its arena; the rest, 128 MB, is given back."""
    freed, over = Event(), Event()

    def work() -> None:
        held = [torch.ones(PIECE) for _ in range(PIECES)]
        del held[:-1]
        freed.set()
        over.wait()

    before = resident()
    thread = Thread(target=work)
    thread.start()
    try:
        assert freed.wait(10)
        kept = resident() - before
        return_freed_memory()
        assert resident() - before < 20 < 64 < kept
    finally:
        over.set()
        thread.join()


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `malloc_trim` nothing happens."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    return_freed_memory()


def test_a_trial_gives_back_what_it_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the trial's end, once its own tensors are gone and before its record is told."""
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def run_unlearning(*_: object) -> Iterator[TrialOutcome]:
        weights = torch.ones(3)
        held.append(weakref.ref(weights))
        yield TrialOutcome(metrics={"score": float(weights[0])})

    monkeypatch.setattr(unlearn, "run_unlearning", run_unlearning)
    monkeypatch.setattr(freed_memory, "return_freed_memory", lambda: alive.append(held[0]() is not None))
    sweep = config(tmp_path)
    trial = TrialRecord(phase="search", index=0, seed=0, state="running", setting={"alpha": 1.0, "beta": 1.0})
    places = locate_artifacts(sweep, dataset())
    (ended,) = run_trial(lambda record: unlearn_trial(sweep, places, record), trial)
    assert ended.metrics == {"score": 1.0} and alive == [False]
