"""Kill, terminate and interrupt the driver at random moments of a sweep, and then resume it.

PYTHONPATH=tests python -m faults.driver --times 20 --seed 0
"""

import random
import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import NAME, RESUME, SWEEP, Moment, Outcome, attempts, over, printed, show, start, trials, whole
from support.commands import Command
from support.stores import statuses
from sweep.records import INTERRUPTED_REASON, TrialRecord

MARKS = {
    "the start": "",
    "the preparation": f"sweep {NAME}\n",
    "the first trial": "prepared reference",
    "the search": "search 0",
    "race and report seeds": "search 2",
    "the report": "finalist 1",
}
"""Stages of a sweep, and the output that marks the begin of each."""


@dataclass(frozen=True, kw_only=True)
class Blow:
    """A signal and its receivers.

    Attributes:
        signum: the signal.
        group: True to send it to all processes of the driver's group, Ray's included; False for the driver alone.
    """

    signum: signal.Signals
    group: bool = False

    @property
    def codes(self) -> set[int]:
        """Exit codes that are allowed: the command's own, or the signal's where no handler is installed.

        That is so at the very start and at the very end. While Ray starts, Ray's handler of SIGTERM aborts the process;
        no trial has begun then.
        """
        if self.signum == signal.SIGKILL:
            return {-self.signum}
        ray = {-signal.SIGABRT} if self.signum == signal.SIGTERM else set()
        return {128 + self.signum, -self.signum} | ray


BLOWS = {
    "SIGKILL to the driver": Blow(signum=signal.SIGKILL),
    "SIGTERM to the driver": Blow(signum=signal.SIGTERM),
    "Ctrl-C": Blow(signum=signal.SIGINT, group=True),
    "SIGTERM to all": Blow(signum=signal.SIGTERM, group=True),
    "terminal closed": Blow(signum=signal.SIGHUP, group=True),
}


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A sweep without a fault.

    Attributes:
        trials: its trials.csv, race.csv and finalists.csv.
        seconds: duration of each stage.
    """

    trials: bytes
    seconds: dict[str, float]

    @property
    def trial_seconds(self) -> float:
        """Seconds that all its trials took together."""
        return sum(self.seconds[stage] for stage in ("the first trial", "the search", "race and report seeds"))


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A command that received a signal.

    Attributes:
        command: the command, which has ended; processes that it started may still live.
        code: its exit code.
        seconds: from the signal to its end.
    """

    command: Command
    code: int
    seconds: float


def undisturbed(here: Path) -> Undisturbed:
    """Run the sweep without a fault, and time its stages."""
    command, began = start(here, *SWEEP), list[float]()
    for mark in MARKS.values():
        command.wait_for(mark)
        began.append(time.monotonic())
    assert command.code() == 0, command.said()
    lasted = [after - before for before, after in pairwise([*began, time.monotonic()])]
    whole(here)
    return Undisturbed(trials=trials(here), seconds=dict(zip(MARKS, lasted, strict=True)))


def struck(command: Command, moment: Moment, blow: Blow) -> Struck:
    """Send the command a signal at a moment, and wait for its end."""
    with moment(command):
        (command.signal_group if blow.group else command.signal)(blow.signum)
        sent = time.monotonic()
        return Struck(command=command, code=command.code(), seconds=time.monotonic() - sent)


def survived(here: Path, plain: Undisturbed, dice: random.Random, stage: str, blow: Blow) -> list[Struck]:
    """Send a sweep a signal in a stage, half the time another one after it resumed, and check that it ends whole."""
    hits = [struck(start(here, *SWEEP), printed(MARKS[stage], dice.random() * plain.seconds[stage]), blow)]
    check(hits[-1], here, blow)
    before = over(here)
    if dice.random() < 0.5:
        later = printed("", dice.random() * sum(plain.seconds.values()) / 2)
        hits.append(struck(start(here, *again(here)), later, blow))
        check(hits[-1], here, blow)
    last = start(here, *again(here))
    assert last.end() == 0, last.said()
    check_whole(here, plain.trials, hits, before)
    return hits


def check_whole(here: Path, plain: bytes, hits: Sequence[Struck], before: Sequence[TrialRecord]) -> None:
    """Check that a resumed sweep is whole and equal to the one without a fault, and that no process is left."""
    whole(here, before=before)
    assert trials(here) == plain
    assert all(hit.command.end() == hit.code for hit in hits)
    assert interrupted(here) <= len(hits)


def again(here: Path) -> Sequence[str]:
    """Return the arguments that resume the sweep, or start it if it has no folder."""
    return RESUME if (here / "runs" / NAME).exists() else SWEEP


def check(hit: Struck, here: Path, blow: Blow) -> None:
    """Check exit code and output: a command that could still print must say how to go on."""
    said = hit.command.said()
    assert hit.code in blow.codes | {0}, (hit.code, said)
    if blow.signum == signal.SIGKILL or hit.code == 0:
        return
    assert "Traceback" not in said, said
    begun, done = MARKS["the preparation"] in said, "\nreport: " in said
    assert not begun or done or "to go on: " in said, said
    assert "RUNNING" not in statuses(here) or "to fill it in: " in said, said


def interrupted(here: Path) -> int:
    """Count the trials that were running when a driver ended."""
    return sum(one.reason == INTERRUPTED_REASON for own in attempts(here).values() for one in own)


def faults(times: int, seed: int, blows: Sequence[str]) -> Iterator[Outcome]:
    """Send each of the `BLOWS` to `times` sweeps, in one stage after the other."""
    dice = random.Random(seed)  # noqa: S311 (moments)
    with TemporaryDirectory(prefix="faults-") as folder:
        plain = undisturbed(folder_in(folder, "plain"))
        for name in blows:
            hits, lost = list[Struck](), 0
            stages = dice.sample([*MARKS], len(MARKS))
            for number in range(times):
                here = folder_in(folder, f"{name} {number}")
                hits += survived(here, plain, dice, stages[number % len(stages)], BLOWS[name])
                lost += interrupted(here)
            yield _outcome(name, hits, lost)


def folder_in(above: str, name: str) -> Path:
    """Make a folder in a folder."""
    folder = Path(above) / name
    folder.mkdir()
    return folder


def _outcome(name: str, hits: Sequence[Struck], lost: int) -> Outcome:
    came = [hit for hit in hits if hit.code != 0]
    seconds = max((hit.seconds for hit in came), default=0.0)
    return Outcome(
        fault=f"{name}, in any stage",
        times=len(came),
        held=f"ended within {seconds:.1f} s; then whole, trials.csv byte for byte",
        lost=f"the trial under way ({lost})",
    )


def main() -> None:
    """Print the table."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="sweeps for each signal (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    parser.add_argument("--blows", nargs="*", choices=BLOWS, default=[*BLOWS], help="%(default)s")
    typed = parser.parse_args()
    show(faults(typed.times, typed.seed, typed.blows))


if __name__ == "__main__":
    main()
