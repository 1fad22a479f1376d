"""Set the machine's clock during a sweep, and between two runs of it: only displayed times may change.

PYTHONPATH=tests python -m faults.clock
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from faults.common import NAME, RESUME, SWEEP, Outcome, attempts, database, show, start, whole
from support.commands import ROOT, Command

SHIM = '''"""Sets the clock of every Python process that starts with this on its path, by the hours in a file."""

import os
import time

_time, _hours = time.time, os.environ["SWEEP_HOURS"]


def _set() -> float:
    with open(_hours) as file:
        return _time() + 3600 * float(file.read())


time.time = _set
'''
HOUR = 3600.0


def clocked(here: Path, *words: str) -> Command:
    """Start a sweep whose clock can be set."""
    (here / "shim").mkdir(exist_ok=True)
    (here / "shim" / "sitecustomize.py").write_text(SHIM)
    return start(here, *words, PYTHONPATH=f"{here / 'shim'}{os.pathsep}{ROOT}", SWEEP_HOURS=str(here / "hours"))


def set_to(here: Path, hours: float) -> None:
    """Set the clock atomically, as an offset in hours."""
    (here / "new").write_text(str(hours))
    (here / "new").replace(here / "hours")


def jumps(here: Path, hours: float) -> None:
    """Let the clock jump after the first trial, and back between two runs; order, ids and durations must not change."""
    set_to(here, 0)
    command = clocked(here, *SWEEP, "search.hours=0.5")
    command.wait_for("search 0 ")
    set_to(here, hours)
    assert command.end() == 0, command.said()
    set_to(here, -hours)
    again = clocked(here, *RESUME)
    assert again.end() == 0, again.said()
    whole(here)
    for own in attempts(here).values():
        assert [one.started for one in own] == sorted(one.started for one in own)
        assert all(0 < one.ended - one.started < HOUR for one in own), own
    check_times(here)


def check_times(here: Path) -> None:
    """Check that trials in times.csv take between 0 s and an hour, and that no MLflow run ends before its start."""
    with (here / "runs" / NAME / "times.csv").open() as file:
        assert all(0 < float(row["seconds"]) < HOUR for row in csv.DictReader(file))
    client = MlflowClient(tracking_uri=database(here))
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert all(run.info.start_time <= run.info.end_time for run in runs), runs


def faults() -> Iterator[Outcome]:
    """Set the clock two hours back, and two hours forward."""
    for hours, way in ((-2.0, "back"), (2.0, "forward")):
        with TemporaryDirectory(prefix="faults-") as folder:
            jumps(Path(folder), hours)
        yield Outcome(
            fault=f"the clock is set {way} by two hours during a sweep, and to the other side before the next run",
            times=2,
            held="order, ids, durations and search.hours as if it had not been; no run ends before it begins",
            lost="nothing",
        )


if __name__ == "__main__":
    show(faults())
