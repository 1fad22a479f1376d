"""A disk that is full: the sweep ends with one sentence, loses nothing, and goes on once there is room.

PYTHONPATH=tests python -m faults.disk
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import NAME, RESUME, SWEEP, Moment, Outcome, Start, over, printed, show, start, whole

SIZE = "32m"
"""Of the disk; the artifacts of the small sweep take 3 MB, and its own folder another 3."""
MOMENTS = {
    "in the preparation": f"sweep {NAME}\n",
    "in the search": "search 0 ",
    "in the finalists": "finalist 0 ",
    "after the last trial": "finalist 2 ",
}
"""When the storage's disk is full, and what the sweep has printed then."""


@contextmanager
def small(folder: Path) -> Iterator[None]:
    """A small disk in the folder's place; mounting one takes root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)  # noqa: S603, S607
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for block in (2**20, 2**10, 1):
            try:
                while file.write(os.urandom(block)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return filler


def full_storage(here: Path, moment: Moment, begin: Start = start) -> None:
    """The storage's disk is full from a moment of the sweep on, until it ends; then it goes on."""
    with small(here / "runs"):
        command = begin(here, *SWEEP)
        with moment(command):
            filler = fill(here / "runs")
        check(command.end(), command.said())
        before = over(here)
        filler.unlink()
        again = begin(here, *(RESUME if (here / "runs" / NAME).exists() else SWEEP))
        assert again.end() == 0, again.said()
        whole(here, before=before)


def check(code: int, said: str) -> None:
    """Exit code 1, and one sentence that says what is full and how to go on."""
    assert code == 1, said
    assert "Traceback" not in said, said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "/runs is full; to go on: " in line, said


def full_tracking(here: Path) -> None:
    """The disk of MLflow's database is full from the second trial on: the sweep is not concerned, and is told of."""
    with small(here / "tracking"):
        store = f"sqlite:///{here / 'tracking' / 'mlflow.db'}"
        command = start(here, *SWEEP, MLFLOW_TRACKING_URI=store)
        command.wait_for("search 0 ")
        filler = fill(here / "tracking")
        assert command.end() == 0, command.said()
        assert f"to fill it in: python -m sweep.sync {NAME}\n" in command.said(), command.said()
        before = over(here)
        filler.unlink()
        again = start(here, *RESUME, MLFLOW_TRACKING_URI=store)
        assert again.end() == 0, again.said()
        whole(here, before=before, store=store)


def faults() -> Iterator[Outcome]:
    """The storage's disk at each moment, then MLflow's."""
    for moment, mark in MOMENTS.items():
        with TemporaryDirectory(prefix="faults-") as folder:
            full_storage(Path(folder), printed(mark))
        yield Outcome(
            fault=f"the disk of the storage is full {moment}",
            times=1,
            held="one sentence, exit code 1; whole once there was room",
            lost="the trials under way",
        )
    with TemporaryDirectory(prefix="faults-") as folder:
        full_tracking(Path(folder))
    yield Outcome(
        fault="the disk of MLflow's database is full",
        times=1,
        held="the sweep finished; whole once there was room",
        lost="nothing",
    )


if __name__ == "__main__":
    show(faults())
