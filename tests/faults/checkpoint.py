"""Kill the fine-tuning and a trial after a checkpoint: both go on from it, and the sweep ends as an undisturbed one.

PYTHONPATH=tests python -m faults.checkpoint
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import NAME, RESUME, SWEEP, Outcome, show, start, trials
from faults.driver import folder_in
from faults.worker import PREPARATION, TRIAL, strike
from support.commands import Command
from support.waiting import until

LONG = (*SWEEP, "target.epochs=30", "train.epochs=30", "search.epochs=best", "eval.every=5")
"""A sweep of which every part takes seconds."""
OFTEN = "cluster.checkpoint=0.001"
"""Checkpoints as often as writing them allows."""


def await_checkpoint(command: Command, pattern: str) -> None:
    """Wait until a checkpoint lies in the storage."""
    until(lambda: command.over or any((command.here / "runs").glob(f"{pattern}/manifest.json")))
    assert not command.over, command.said()


def artifacts(here: Path) -> dict[str, bytes]:
    """Return the manifest of each artifact, with the checksums of its files."""
    return {file.parent.name: file.read_bytes() for file in (here / "runs").glob(".artifacts/*/manifest.json")}


def killed(here: Path) -> int:
    """Kill preparation and trial of a sweep, interrupt it with its driver, resume it; return the number of kills."""
    command = start(here, *LONG, OFTEN)
    await_checkpoint(command, ".artifacts/*.checkpoint")
    assert strike(command, PREPARATION), command.said()
    command.wait_for("target: goes on at step ")
    await_checkpoint(command, f"{NAME}/.checkpoints/search-1")
    assert strike(command, TRIAL), command.said()
    until(lambda: command.over or command.said().count(": goes on at step ") == 2)
    await_checkpoint(command, f"{NAME}/.checkpoints/search-2")
    command.signal(signal.SIGKILL)
    command.end()
    last = start(here, *RESUME)
    assert last.end() == 0, last.said()
    assert ": goes on at step " in last.said(), last.said()
    return 3


def faults() -> Iterator[Outcome]:
    """Compare a killed sweep with one that nobody disturbed."""
    with TemporaryDirectory(prefix="faults-") as folder:
        plain, here = folder_in(folder, "plain"), folder_in(folder, "killed")
        undisturbed = start(plain, *LONG, "cluster.checkpoint=null")
        assert undisturbed.end() == 0, undisturbed.said()
        hits = killed(here)
        assert not [*(here / "runs").glob(".artifacts/*.checkpoint"), *(here / "runs" / NAME).glob(".checkpoints")]
        assert trials(here) == trials(plain)
        assert artifacts(here) == artifacts(plain)
    yield Outcome(
        fault="the fine-tuning, a trial and the driver killed after a checkpoint",
        times=hits,
        held="went on from it; trials.csv and the artifacts byte for byte",
        lost="the steps since the checkpoint",
    )


if __name__ == "__main__":
    show(faults())
