"""Memory that a trial's thread freed goes back to the system."""

import ctypes
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from sweep.training.freed_memory import return_freed_memory

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
