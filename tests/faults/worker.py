"""Kill the processes of the preparation and of the trials at random moments.

PYTHONPATH=tests python -m faults.worker --times 20 --seed 0
"""

import os
import random
import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import NAME, SWEEP, Moment, Outcome, Start, attempts, show, start, trials, whole
from faults.driver import MARKS, folder_in, undisturbed
from support.commands import Command
from support.stores import statuses
from support.waiting import until

PREPARATION, TRIAL = "ray::_run_preparer", "ray::ImplicitFunc"
"""Ray's titles of the preparation's process, and of a trial worker, also between two trials."""
AT = {PREPARATION: "the preparation", TRIAL: "the first trial"}
"""Stage in which such a process first appears."""
RETRIES = 2


def strike(command: Command, title: str) -> bool:
    """Kill the command's processes with this title, and return True if there was one."""
    found = victims(command, title)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not {*found} & {*victims(command, title)})
    return bool(found)


def seen(title: str, delay: float) -> Moment:
    """Return the moment `delay` seconds after a process with this title appears."""

    @contextmanager
    def moment(command: Command) -> Iterator[None]:
        command.wait_for(MARKS[AT[title]])
        until(lambda: command.over or bool(victims(command, title)))
        time.sleep(delay)
        yield

    return moment


def victims(command: Command, title: str) -> list[int]:
    """Return the ids of the command's processes with this title."""
    return [pid for pid, line in command.left().items() if line.startswith(title)]


def survived(here: Path, plain: bytes, title: str, moment: Moment, begin: Start = start) -> int:
    """Kill a process of a sweep, check that the sweep completes by itself, and return the number of kills, 0 or 1.

    Args:
        here: the folder in which the command runs.
        plain: the trials.csv of a sweep without a fault.
        title: Ray's title of the process.
        moment: moment of the kill.
        begin: starts the command.
    """
    command = begin(here, *SWEEP)
    with moment(command):
        hit = strike(command, title)
    assert command.end() == 0, command.said()
    assert "raylet" not in command.said(), command.said()
    whole(here)
    assert trials(here) == plain
    return int(hit)


def given_up(here: Path, begin: Start = start) -> None:
    """Kill the preparation at every attempt; the sweep must end with one sentence, and leave no study and no run."""
    command = begin(here, *SWEEP, f"cluster.retries={RETRIES}")
    for _ in range(RETRIES + 1):
        until(lambda: command.over or bool(victims(command, PREPARATION)))
        assert strike(command, PREPARATION), command.said()
    assert command.end() == 1, command.said()
    error = command.said().splitlines()[-1]
    assert error.startswith("error: the preparation failed, its process died: "), command.said()
    assert error.endswith("; to go on: give the same command again"), command.said()
    assert "Traceback" not in command.said(), command.said()
    assert not (here / "runs" / NAME).exists()
    assert statuses(here) == []


def lost(here: Path) -> int:
    """Count the failed attempts."""
    return sum(one.state == "failed" for own in attempts(here).values() for one in own)


def faults(times: int, seed: int) -> Iterator[Outcome]:
    """Kill each kind of process in `times` sweeps, then one preparation at every attempt."""
    dice = random.Random(seed)  # noqa: S311 (moments)
    with TemporaryDirectory(prefix="faults-") as folder:
        plain = undisturbed(folder_in(folder, "plain"))
        spans = {PREPARATION: plain.seconds["the preparation"] / 2, TRIAL: plain.trial_seconds}
        for title, span in spans.items():
            folders = [folder_in(folder, f"{AT[title]} {number}") for number in range(times)]
            hits = sum(survived(here, plain.trials, title, seen(title, dice.random() * span)) for here in folders)
            yield Outcome(
                fault=f"SIGKILL to a process of {title.removeprefix('ray::')}",
                times=hits,
                held="begun again by itself; then whole, trials.csv byte for byte",
                lost=f"the attempt under way ({sum(map(lost, folders))})",
            )
        given_up(folder_in(folder, "given up"))
        held = "exit code 1, one sentence, no ledger, no run"
        yield Outcome(fault=f"the same {RETRIES + 1} times in one preparation", times=1, held=held, lost="nothing")


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="sweeps for each kind of process (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    typed = parser.parse_args()
    show(faults(typed.times, typed.seed))


if __name__ == "__main__":
    main()
