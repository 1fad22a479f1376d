"""Toy trials without a model, and toy preparers that make nothing.

Every worker imports this file, so it imports nothing slow: neither transformers nor modules that only a driver needs.
"""

import ctypes
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ray

from support.trials import PAPER, sides
from support.waiting import until
from sweep.errors import ConfigError
from sweep.prepare.artifacts import StageProgress
from sweep.records import TrialRecord
from sweep.trial.outcomes import EpochResult, TrialOutcome

FREE = 4
"""Index from which on trials run until a node is lost, so that the loss hits a running trial, whatever the load."""


def bowl(record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run two epochs, then return a score that is 0 at alpha 2, and the number of trials in this process."""
    for epoch in (1, 2):
        yield EpochResult(epoch=epoch, metrics={"forget/es": 1 / epoch, "retain/es": 1.0})
    here = sys.modules["sweep.trial.runner"].__dict__
    here["uses"] = here.get("uses", 0) + 1
    yield TrialOutcome(metrics={"score": abs(float(record.setting["alpha"]) - 2) + record.seed, "uses": here["uses"]})


def held(folder: Path | None, hold: int | None, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run two epochs, then return a score that is lowest where all numbers of the setting are 2.

    Args:
        folder: folder in which each trial leaves a file when it begins; None: no file.
        hold: the index from which on a search trial waits, after an epoch, for a file `go` in the folder; None: none.
        record: the trial.
    """
    if folder is not None:
        (folder / f"began-{record.phase}-{record.index}").touch()
    yield EpochResult(epoch=1, metrics=sides(0.5, 1.0))
    if folder is not None and hold is not None and record.phase == "search" and record.index >= hold:
        until((folder / "go").exists)
    score = sum(abs(float(value) - 2) for value in record.setting.values()) / 10
    yield EpochResult(epoch=2, metrics=sides(score, 1.0))
    yield TrialOutcome(metrics=sides(score, 1.0) | {"score": score + record.seed / 100})


def broken(folder: Path | None, hold: int | None, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run an epoch, then raise an error; takes the place of `held`."""
    yield EpochResult(epoch=1, metrics=sides(0.5, 1.0))
    raise RuntimeError("broken on purpose")


def hungry(folder: Path | None, hold: int | None, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run `held`, but let the first trial once take memory, at most 12 GB, until Ray's monitor kills it."""
    assert folder is not None
    if (record.phase, record.index) == ("search", 0) and _first(folder / "hungry"):
        taken = [b"x" * 2**27 for _ in range(96)]
        until(lambda: not taken)
    yield from held(folder, hold, record)


def toy_unlearn(
    run: Callable[[TrialRecord], Iterator[EpochResult | TrialOutcome]],
    config: object,
    artifacts: object,
    record: TrialRecord,
    saves: object = None,
    checkpoints: object = None,
) -> Iterator[EpochResult | TrialOutcome]:
    """Replace `sweep.trial.runner.unlearn`; a toy needs neither configuration nor artifacts, and has no model."""
    yield from run(record)


def late(record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run `bowl`, with a score that is 10 higher."""
    *points, outcome = bowl(record)
    yield from points
    yield TrialOutcome(metrics=outcome.metrics | {"score": outcome.metrics["score"] + 10})


def perishing(folder: Path, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """After an epoch trial 0 once keeps the GIL, 1 runs out of memory, 2 ends its process, 3 does so once."""
    yield EpochResult(epoch=1, metrics={})
    first = _first(folder / f"perishing-{record.index}")
    if record.index == 0 and first:
        _keep_the_lock()
    if record.index == 1:
        raise MemoryError("memory ran out: take less")
    if record.index == 2 or (record.index == 3 and first):
        os._exit(1)
    yield from bowl(record)


def breaks(record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Raise at the paper's setting; elsewhere end with a NaN score above alpha 2.5, or without an outcome."""
    if record.setting == PAPER:
        raise ValueError("alpha and beta\nquarrel")
    if float(record.setting["alpha"]) > 2.5:
        yield TrialOutcome(metrics={"score": float("nan")})


def lagging(record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run nine epochs on an object that all trials of the process share, and count the trials that use it at once.

    Later trials are worse. A pruned trial must have released the object before the next one begins, since two trials
    must not train one model: each uses it from its first step until its generator is closed.
    """
    here = sys.modules["sweep.trial.runner"].__dict__
    inside: set[int] = here.setdefault("inside", set())
    others = len(inside)
    inside.add(record.index)
    try:
        for epoch in range(1, 10):
            time.sleep(0.01)
            others = max(others, len(inside) - 1)
            yield EpochResult(epoch=epoch, metrics=sides(record.index / 12, 1.0) | {"others": others})
        yield TrialOutcome(metrics={"score": float(record.index), "others": others})
    finally:
        inside.discard(record.index)


def made(fails: bool) -> Iterator[StageProgress]:
    """Prepare two stages; the second one may raise ConfigError."""
    yield StageProgress(stage="first", done=1, total=2)
    yield StageProgress(stage="first", done=2, total=2)
    if fails:
        raise ConfigError("model.path = 'x' does not fit.")
    yield StageProgress(stage="second", done=1, total=1)


def dying(folder: Path, times: int) -> Iterator[StageProgress]:
    """Prepare a stage whose process is killed the first `times` times."""
    yield StageProgress(stage="first", done=1, total=2)
    if len(list(folder.iterdir())) < times:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield StageProgress(stage="first", done=2, total=2)


def waiting(folder: Path) -> Iterator[StageProgress]:
    """Prepare a stage that leaves a file `preparing` in the folder, and waits for a file `go`."""
    yield StageProgress(stage="first", done=1, total=2)
    (folder / "preparing").touch()
    until((folder / "go").exists)
    yield StageProgress(stage="first", done=2, total=2)


def full() -> Iterator[StageProgress]:
    """Prepare a stage that finds the disk full."""
    yield StageProgress(stage="first", done=1, total=2)
    raise OSError(errno.ENOSPC, "No space left on device", "/runs/x")


def noted(folder: Path, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Leave a file named after the node, and wait after the first epoch until another node is lost."""
    node = ray.get_runtime_context().get_node_id()
    (folder / f"began-{record.index}-{node}-{time.time_ns()}").touch()
    yield EpochResult(epoch=1, metrics=sides(0.5, 1.0))
    until(lambda: record.index < FREE or any(path.name != f"lost-{node}" for path in folder.glob("lost-*")))
    yield EpochResult(epoch=2, metrics=sides(0.5, 1.0))
    yield TrialOutcome(metrics={"score": float(record.index)})


def paired(folder: Path, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Run a trial of two processes that reports the id of the first; the score is 1 if both receive its broadcast.

    After an epoch process 1 of trial 1 raises, while process 0 waits for it. Process 1 of trial 3 dies, once. Process 0
    of trial 4 kills the worker, once, while process 1 keeps the GIL.
    """
    from sweep.training import distributed

    second = distributed.rank() == 1
    yield EpochResult(epoch=1, metrics={"processes": float(distributed.world_size()), "pid": float(os.getpid())})
    if record.index == 1:
        if second:
            raise ValueError("alpha and beta\nquarrel")
        distributed.wait_for_ranks()
    if record.index == 3 and second and _first(folder / "paired-3"):
        os.kill(os.getpid(), signal.SIGKILL)
    if record.index == 4 and not (marker := folder / "paired-4").exists():
        distributed.wait_for_ranks()
        if second:
            _keep_the_lock()
        marker.touch()
        os.kill(int(record.worker.rpartition(":")[2]), signal.SIGKILL)
    yield TrialOutcome(metrics={"score": distributed.broadcast_object(float(distributed.rank() + 1))})


def _first(marker: Path) -> bool:
    """Return True for the first caller with this marker."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _keep_the_lock() -> None:
    """Hang with the GIL held, without keeping a core busy."""
    while True:
        ctypes.PyDLL(None).pause()
