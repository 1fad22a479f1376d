"""The driver is killed, told to end and interrupted at random moments of a sweep, which then goes on.

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
from sweep.records import INTERRUPTED, Record

MARKS = {
    "the start": "",
    "the preparation": f"sweep {NAME}\n",
    "the first trial": "prepared reference",
    "the search": "search 0",
    "the finalists": "search 2",
    "the report": "finalist 2",
}
"""The stages of a sweep, and what it has printed when each begins."""


@dataclass(frozen=True, kw_only=True)
class Blow:
    """A signal and whom it comes to.

    Attributes:
        signum: the signal.
        group: whether it comes to all processes of the driver's group, Ray's among them, and not to the driver alone.
    """

    signum: signal.Signals
    group: bool = False

    @property
    def codes(self) -> set[int]:
        """How the command may end: by itself, or by the signal before it is taken over and at the very end.

        While Ray starts it has SIGTERM for a moment, and aborts: nothing is begun then.
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
    """A sweep to which nothing happens.

    Attributes:
        trials: its trials.csv.
        seconds: how long each stage took.
    """

    trials: bytes
    seconds: dict[str, float]

    @property
    def trial_seconds(self) -> float:
        """How long its trials took together."""
        return sum(self.seconds[stage] for stage in ("the first trial", "the search", "the finalists"))


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A command to which a signal came.

    Attributes:
        command: it has ended; what it started may still live.
        code: its exit code.
        seconds: from the signal to its end.
    """

    command: Command
    code: int
    seconds: float


def undisturbed(here: Path) -> Undisturbed:
    """Run the sweep, and look at its stages go by."""
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
    """A sweep that a signal comes to in a stage, and half the time once more after it went on, is whole in the end."""
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


def check_whole(here: Path, plain: bytes, hits: Sequence[Struck], before: Sequence[Record]) -> None:
    """A sweep that went on after blows is whole, and as the one to which nothing happened; no process is left."""
    whole(here, before=before)
    assert trials(here) == plain
    assert all(hit.command.end() == hit.code for hit in hits)
    assert interrupted(here) <= len(hits)


def again(here: Path) -> Sequence[str]:
    """The words that go on with the sweep, or begin it where there is nothing of it."""
    return RESUME if (here / "runs" / NAME).exists() else SWEEP


def check(hit: Struck, here: Path, blow: Blow) -> None:
    """How the command ended, unless it was over before; one that could say a word says how to go on."""
    said = hit.command.said()
    assert hit.code in blow.codes | {0}, (hit.code, said)
    if blow.signum == signal.SIGKILL or hit.code == 0:
        return
    assert "Traceback" not in said, said
    begun, done = MARKS["the preparation"] in said, "\nruns: " in said
    assert not begun or done or "to go on: " in said, said
    assert "RUNNING" not in statuses(here) or "to fill it in: " in said, said


def interrupted(here: Path) -> int:
    """How many trials were under way when a driver ended."""
    return sum(one.reason == INTERRUPTED for own in attempts(here).values() for one in own)


def faults(times: int, seed: int, blows: Sequence[str]) -> Iterator[Outcome]:
    """Each of the `BLOWS` comes to so many sweeps, in one stage after the other."""
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
    """A new folder in a folder."""
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
