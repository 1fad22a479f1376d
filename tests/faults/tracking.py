"""Break the tracking server: the sweep ends in time and reports what MLflow lacks, which is then filled in.

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
from sweep.tracking.tracker import FINISH_TIMEOUT_S

SYNC = f"to fill it in: python -m sweep.sync {NAME}\n"
SPARE = 60.0
"""Seconds that the end may take besides the wait for MLflow; the report takes tens of them on a busy machine."""


def real(here: Path, port: int) -> AbstractContextManager[str]:
    """Start a real MLflow server, over the same database each time."""
    return mlflow(f"sqlite:///{here / 'tracking.db'}", here, port)


def begun(here: Path, port: int, *words: str) -> Command:
    """Start a sweep that logs to the port."""
    return start(here, *SWEEP, *words, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")


def filled_in(here: Path, port: int, sync: bool) -> None:
    """Run `sweep.sync` or `--resume` with a server at the port, twice, and check each time that the sweep is whole."""
    uri, before = f"http://127.0.0.1:{port}", over(here)
    with real(here, port):
        for _ in range(2):
            words, module = ((NAME,), "sweep.sync") if sync else (RESUME, "sweep.launch")
            again = Command(here, *words, module=module, variables={"MLFLOW_TRACKING_URI": uri})
            assert again.end() == 0, again.said()
            whole(here, before=before, store=uri)


def ended(command: Command) -> None:
    """Check that the sweep finished in time, and printed one line with the missing runs and the command to add them."""
    command.wait_for("finalist 1 ")
    last = time.monotonic()
    assert command.end() == 0, command.said()
    assert time.monotonic() - last < FINISH_TIMEOUT_S + SPARE, command.said()
    said = command.said()
    assert said.count(SYNC) == 1 and "Traceback" not in said, said


def never_there(instead: Callable[[int], AbstractContextManager[None]], here: Path, sync: bool) -> None:
    """Leave no working server at the port until the sweep is over."""
    port = free_port()
    with instead(port):
        ended(begun(here, port))
    filled_in(here, port, sync)


def dies(here: Path, sync: bool) -> None:
    """Kill the server after the first trial."""
    port = free_port()
    with real(here, port):
        command = begun(here, port)
        command.wait_for("search 0 ")
    ended(command)
    filled_in(here, port, sync)


def dies_and_comes_back(here: Path, sync: bool) -> None:
    """Kill the server after the first trial, and restart it long before the end."""
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
    """Leave the port without a server."""
    return nullcontext()


FAULTS: dict[str, Callable[[Path, bool], None]] = {
    "is killed during a sweep and comes back": dies_and_comes_back,
    "is killed during a sweep and never comes back": dies,
    "is not there": partial(never_there, nothing),
    "takes connections and never answers": partial(never_there, silent),
    "answers 500": partial(never_there, broken),
}


def faults() -> Iterator[Outcome]:
    """Inject each fault, and fill in the missing runs by sweep.sync and by --resume in turn."""
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
