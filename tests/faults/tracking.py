"""A tracking server that fails: the sweep ends in its own time and says what MLflow lacks, and that is filled in.

PYTHONPATH=tests python -m faults.tracking
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import NAME, RESUME, SWEEP, Outcome, over, show, start, whole
from support.commands import Command
from support.lost_servers import broken, silent
from support.servers import free_port, mlflow
from sweep.tracking.tracker import PATIENCE

SYNC = f"to fill it in: python -m sweep.sync {NAME}\n"
SPARE = 60.0
"""Seconds that the end may take beside the waiting for MLflow; on a busy machine the report takes tens."""


def real(here: Path, port: int) -> AbstractContextManager[str]:
    """A server of MLflow's own, over the same database each time."""
    return mlflow(f"sqlite:///{here / 'tracking.db'}", here, port)


def begun(here: Path, port: int, *words: str) -> Command:
    """A sweep that logs to the port."""
    return start(here, *SWEEP, *words, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")


def filled_in(here: Path, port: int, sync: bool) -> None:
    """With a server at the port the sweep is whole after `sweep.sync`, or after `--resume`; a second time adds none."""
    uri, before = f"http://127.0.0.1:{port}", over(here)
    with real(here, port):
        for _ in range(2):
            words, module = ((NAME,), "sweep.sync") if sync else (RESUME, "sweep.launch")
            again = Command(here, *words, module=module, variables={"MLFLOW_TRACKING_URI": uri})
            assert again.end() == 0, again.said()
            whole(here, before=before, store=uri)


def ended(command: Command) -> None:
    """The sweep has finished, its end did not wait too long, and one line says what is lacking and what to do."""
    command.wait_for("finalist 2 ")
    last = time.monotonic()
    assert command.end() == 0, command.said()
    assert time.monotonic() - last < PATIENCE + SPARE, command.said()
    said = command.said()
    assert said.count(SYNC) == 1 and "Traceback" not in said, said


def never_there(instead: Callable[[int], AbstractContextManager[None]], here: Path, sync: bool) -> None:
    """At the port is nothing of use until the sweep is over."""
    port = free_port()
    with instead(port):
        ended(begun(here, port))
    filled_in(here, port, sync)


def dies(here: Path, sync: bool) -> None:
    """The server dies after the first trial."""
    port = free_port()
    with real(here, port):
        command = begun(here, port)
        command.wait_for("search 0 ")
    ended(command)
    filled_in(here, port, sync)


def dies_and_comes_back(here: Path, sync: bool) -> None:
    """The server dies after the first trial and is back before the end, which is far enough for it to start."""
    port = free_port()
    with real(here, port):
        command = begun(here, port, "train.epochs=300")
        command.wait_for("search 0 ")
    command.wait_for("search 1 ")
    with real(here, port) as uri:
        assert command.end() == 0, command.said()
        assert SYNC not in command.said(), command.said()
        whole(here, store=uri)
    filled_in(here, port, sync)


def nothing(port: int) -> AbstractContextManager[None]:
    """Nobody listens."""
    return nullcontext()


FAULTS: dict[str, Callable[[Path, bool], None]] = {
    "is killed during a sweep and comes back": dies_and_comes_back,
    "is killed during a sweep and never comes back": dies,
    "is not there": partial(never_there, nothing),
    "takes connections and never answers": partial(never_there, silent),
    "answers 500": partial(never_there, broken),
}


def faults() -> Iterator[Outcome]:
    """Each fault; what is lacking is filled in by sweep.sync and by --resume in turn."""
    for number, (fault, happens) in enumerate(FAULTS.items()):
        with TemporaryDirectory(prefix="faults-") as folder:
            happens(Path(folder), number % 2 == 0)
        yield Outcome(
            fault=f"the tracking server {fault}",
            times=1,
            held="the sweep finished; one run for each attempt once it was filled in, twice",
            lost="nothing",
        )


if __name__ == "__main__":
    show(faults())
