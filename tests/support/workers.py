"""What toy workers do: trials without a model, and makers of nothing.

Every worker imports this file, and so nothing that takes long: neither transformers nor what only a driver needs.
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
from sweep.prepare.artifacts import Progress
from sweep.records import Record
from sweep.trial.outcomes import Outcome, Point

FREE = 4
"""Trials from this index on are under way until a node is lost: whatever the load, it is lost in the middle."""


def bowl(record: Record) -> Iterator[Point | Outcome]:
    """Two epochs, then a score that is 0 at alpha 2; says how often its process was used."""
    for epoch in (1, 2):
        yield Point(epoch=epoch, metrics={"forget/es": 1 / epoch, "retain/es": 1.0})
    here = sys.modules["sweep.trial.runner"].__dict__
    here["uses"] = here.get("uses", 0) + 1
    yield Outcome(metrics={"score": abs(float(record.setting["alpha"]) - 2) + record.seed, "uses": here["uses"]})


def held(folder: Path | None, hold: int | None, record: Record) -> Iterator[Point | Outcome]:
    """Two epochs, then a score that is lowest where all numbers of the setting are 2.

    Args:
        folder: where each trial leaves a file when it begins; None: nowhere.
        hold: the index from which on a search trial waits, after an epoch, for a file `go` in the folder; None: none.
        record: the trial.
    """
    if folder is not None:
        (folder / f"began-{record.phase}-{record.index}").touch()
    yield Point(epoch=1, metrics=sides(0.5, 1.0))
    if folder is not None and hold is not None and record.phase == "search" and record.index >= hold:
        until((folder / "go").exists)
    score = sum(abs(float(value) - 2) for value in record.setting.values()) / 10
    yield Point(epoch=2, metrics=sides(score, 1.0))
    yield Outcome(metrics=sides(score, 1.0) | {"score": score + record.seed / 100})


def broken(folder: Path | None, hold: int | None, record: Record) -> Iterator[Point | Outcome]:
    """An epoch, then an error: a trial in the place of `held` that never succeeds."""
    yield Point(epoch=1, metrics=sides(0.5, 1.0))
    raise RuntimeError("broken on purpose")


def hungry(folder: Path | None, hold: int | None, record: Record) -> Iterator[Point | Outcome]:
    """In the place of `held`: the first trial takes memory, once, until Ray's monitor ends it; 12 GB at most."""
    assert folder is not None
    if (record.phase, record.index) == ("search", 0) and _first(folder / "hungry"):
        taken = [b"x" * 2**27 for _ in range(96)]
        until(lambda: not taken)
    yield from held(folder, hold, record)


def toy_unlearn(
    run: Callable[[Record], Iterator[Point | Outcome]], config: object, artifacts: object, record: Record
) -> Iterator[Point | Outcome]:
    """What stands in for `sweep.trial.runner.unlearn`: a toy needs neither configuration nor artifacts."""
    yield from run(record)


def late(record: Record) -> Iterator[Point | Outcome]:
    """As the bowl, 10 higher."""
    *points, outcome = bowl(record)
    yield from points
    yield Outcome(metrics=outcome.metrics | {"score": outcome.metrics["score"] + 10})


def perishing(folder: Path, record: Record) -> Iterator[Point | Outcome]:
    """After an epoch trial 0 keeps Python's lock, once; memory runs out for 1; 2 ends its process; 3 does so once."""
    yield Point(epoch=1, metrics={})
    first = _first(folder / f"perishing-{record.index}")
    if record.index == 0 and first:
        _keep_the_lock()
    if record.index == 1:
        raise MemoryError("memory ran out: take less")
    if record.index == 2 or (record.index == 3 and first):
        os._exit(1)
    yield from bowl(record)


def breaks(record: Record) -> Iterator[Point | Outcome]:
    """The paper's setting raises, others have no score, or no end."""
    if record.setting == PAPER:
        raise ValueError("alpha and beta\nquarrel")
    if float(record.setting["alpha"]) > 2.5:
        yield Outcome(metrics={"score": float("nan")})


def lagging(record: Record) -> Iterator[Point | Outcome]:
    """Nine epochs on something that all trials of its process share; later trials are worse; says who else was there.

    What a trial leaves behind when it is stopped must be gone before the next one begins, as a model must not be
    trained by two: each is inside from its first step until its generator is closed.
    """
    here = sys.modules["sweep.trial.runner"].__dict__
    inside: set[int] = here.setdefault("inside", set())
    others = len(inside)
    inside.add(record.index)
    try:
        for epoch in range(1, 10):
            time.sleep(0.01)
            others = max(others, len(inside) - 1)
            yield Point(epoch=epoch, metrics=sides(record.index / 12, 1.0) | {"others": others})
        yield Outcome(metrics={"score": float(record.index), "others": others})
    finally:
        inside.discard(record.index)


def made(fails: bool) -> Iterator[Progress]:
    """Two stages; the second one may refuse."""
    yield Progress(stage="first", done=1, total=2)
    yield Progress(stage="first", done=2, total=2)
    if fails:
        raise ConfigError("model.path = 'x' does not fit.")
    yield Progress(stage="second", done=1, total=1)


def dying(folder: Path, times: int) -> Iterator[Progress]:
    """A stage whose process is killed the first so many times."""
    yield Progress(stage="first", done=1, total=2)
    if len(list(folder.iterdir())) < times:
        (folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield Progress(stage="first", done=2, total=2)


def waiting(folder: Path) -> Iterator[Progress]:
    """A stage that leaves a file `preparing` in the folder and waits for a file `go`."""
    yield Progress(stage="first", done=1, total=2)
    (folder / "preparing").touch()
    until((folder / "go").exists)
    yield Progress(stage="first", done=2, total=2)


def full() -> Iterator[Progress]:
    """A stage that finds no room on the disk."""
    yield Progress(stage="first", done=1, total=2)
    raise OSError(errno.ENOSPC, "No space left on device", "/runs/x")


def noted(folder: Path, record: Record) -> Iterator[Point | Outcome]:
    """Leaves a file that says on which node it began; waits, in the middle, until another node is lost."""
    node = ray.get_runtime_context().get_node_id()
    (folder / f"began-{record.index}-{node}-{time.time_ns()}").touch()
    yield Point(epoch=1, metrics=sides(0.5, 1.0))
    until(lambda: record.index < FREE or any(path.name != f"lost-{node}" for path in folder.glob("lost-*")))
    yield Point(epoch=2, metrics=sides(0.5, 1.0))
    yield Outcome(metrics={"score": float(record.index)})


def paired(folder: Path, record: Record) -> Iterator[Point | Outcome]:
    """A trial of two processes that says which is the first of them; the score is 1 where they hear one another.

    After an epoch process 1 of trial 1 raises, for which process 0 waits; that of trial 3 dies, once; of trial 4
    process 0 kills the worker, once, while process 1 does not let go of Python's lock.
    """
    from sweep.training import distributed

    second = distributed.rank() == 1
    yield Point(epoch=1, metrics={"processes": float(distributed.size()), "pid": float(os.getpid())})
    if record.index == 1:
        if second:
            raise ValueError("alpha and beta\nquarrel")
        distributed.wait()
    if record.index == 3 and second and _first(folder / "paired-3"):
        os.kill(os.getpid(), signal.SIGKILL)
    if record.index == 4 and not (marker := folder / "paired-4").exists():
        distributed.wait()
        if second:
            _keep_the_lock()
        marker.touch()
        os.kill(int(record.worker.rpartition(":")[2]), signal.SIGKILL)
    yield Outcome(metrics={"score": distributed.from_first(float(distributed.rank() + 1))})


def _first(marker: Path) -> bool:
    """Whether nobody was here before."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _keep_the_lock() -> None:
    """Hang, and let no other thread of Python's have a turn, without keeping a core busy."""
    while True:
        ctypes.PyDLL(None).pause()
