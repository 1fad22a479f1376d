"""Run commands of the project as separate processes, and observe them from outside."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support.forks import Forked
from support.waiting import LONGEST_WAIT_S, until

ROOT = Path(__file__).parents[2]
"""The checkout."""
SHARED = ROOT.parent / "shared"
"""Folder of data beside the checkout; tests that need missing data skip."""
SMALL = (
    *("data.forget=1", "data.retain=2", "data.holdout=1", "data.unseen=0", "target.epochs=2", "train.epochs=2"),
    *("target.min_es=0", "search.trials=3", "search.race=0", "seeds=1", "save=none"),
)
"""Overrides with which the default sweep takes seconds; its numbers mean nothing."""
STARTED: "list[Command]" = []
"""All commands that were started."""
FORSAKEN = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
"""Variable that makes Ray's agents give up a dead head after 5 seconds instead of 60."""


def refusal(main: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the error of a command that must fail with one line on stderr, nothing on stdout, and exit code 2."""
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


class Command:
    """A command in a separate process, with every process that it starts."""

    def __init__(
        self, here: Path, *argv: str, module: str = "sweep.launch", variables: Mapping[str, str] | None = None
    ) -> None:
        """Start the command in a folder, with more variables in its environment."""
        self.here, self._mark = here, uuid.uuid4().hex
        self._out = here / f"{self._mark}.txt"
        own = os.environ | {"PYTHONUNBUFFERED": "1", "SWEEP_TEST": self._mark} | dict(variables or {})
        self._process = self._start(here, [module, *argv], own)
        STARTED.append(self)

    def _start(self, here: Path, words: list[str], variables: dict[str, str]) -> "subprocess.Popen[bytes] | Forked":
        return subprocess.Popen(  # noqa: S603 (our own)
            [sys.executable, "-m", *words],
            cwd=here,
            env=variables,
            stdout=self._out.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a signal to its group does not reach the tests
        )

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """True once the process has ended."""
        return self._process.poll() is not None

    def said(self) -> str:
        """Return the output so far."""
        return self._out.read_text()

    @property
    def last_said(self) -> float:
        """Time of the last output, by the machine's clock."""
        return self._out.stat().st_mtime

    def wait_for(self, text: str) -> None:
        """Wait until the output holds the text; fail if the command ends without it."""
        until(lambda: text in self.said() or self.over)
        assert text in self.said(), self.said()

    def signal_group(self, signum: signal.Signals) -> None:
        """Send a signal to all processes of the group, as a terminal does."""
        os.killpg(self._process.pid, signum)

    def signal(self, signum: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(signum)

    def code(self) -> int:
        """Wait for the end, and return the exit code, negative after a signal; kill the group if it takes too long."""
        try:
            return self._process.wait(LONGEST_WAIT_S)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
            raise

    def end(self) -> int:
        """Return the exit code once no process is left; Ray's agents notice the end of theirs only after a while."""
        code = self.code()
        until(lambda: self.left() == {})
        return code

    def left(self) -> dict[int, str]:
        """Return the command lines of all living processes of this command, by process id."""
        return dict(self._living())

    def _living(self) -> Iterator[tuple[int, str]]:
        return _marked({self._mark})


class ToyCommand(Command):
    """`sweep.launch` with toy trials (`support.toy_launch`), forked from a process that has imported everything."""

    def _start(self, here: Path, words: list[str], variables: dict[str, str]) -> Forked:
        return Forked(here, words[1:], variables, self._out)

    def _living(self) -> Iterator[tuple[int, str]]:
        yield from super()._living()
        if not self.over:
            yield self.pid, "toy_launch"


def left_over() -> dict[int, str]:
    """Return the command lines of the living processes of all commands, by process id."""
    marked = dict(_marked({command._mark for command in STARTED}))
    return {command.pid: type(command).__name__ for command in STARTED if not command.over} | marked


def _marked(marks: set[str]) -> Iterator[tuple[int, str]]:
    """Yield id and command line of the processes with one of the marks in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            if any(f"SWEEP_TEST={mark}".encode() in environment for mark in marks):
                yield int(folder.name), (folder / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue
