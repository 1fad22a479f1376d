"""Fill a disk: the sweep ends with one sentence, loses nothing, and goes on once there is space.

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
"""Size of the disk; the artifacts of the small sweep take 3 MB, and its own folder another 3."""
MOMENTS = {
    "in the preparation": f"sweep {NAME}\n",
    "in the search": "search 0 ",
    "in the race": "race 0 ",
    "after the last trial": "finalist 1 ",
}
"""Moments at which the storage's disk is filled, and the output of the sweep that marks each."""


@contextmanager
def small(folder: Path) -> Iterator[None]:
    """Mount a small disk at the folder for the block; mounting needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)  # noqa: S603, S607
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607


def fill(folder: Path) -> Path:
    """Write a file that takes all the space that is left, and return its path."""
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
    """Fill the storage's disk from a moment of the sweep until its end; with space again the sweep must resume."""
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
    """Check for exit code 1 and one sentence that names the full disk and the command to resume."""
    assert code == 1, said
    assert "Traceback" not in said, said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "/runs is full; to go on: " in line, said


def full_tracking(here: Path) -> None:
    """Fill the disk of MLflow's database after the first trial; the sweep must finish, and report the missing runs."""
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
    """Fill the storage's disk at each moment, then MLflow's."""
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
