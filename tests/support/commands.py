"""Commands of the project as processes of their own, watched from outside."""

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
"""Data that lie beside the checkout; tests that use them skip where they do not."""
SMALL = (
    *("data.forget=1", "data.retain=2", "data.holdout=1", "data.unseen=0", "target.epochs=2", "train.epochs=2"),
    *("search.trials=3", "seeds=1"),
)
"""Changes that make the default sweep take seconds; its numbers mean nothing."""
STARTED: "list[Command]" = []
"""All commands so far."""
FORSAKEN = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
"""Lets Ray's agents, whose head has died without a word, call for it no longer than so many seconds, instead of 60."""


def refusal(main: Callable[[Sequence[str]], int], capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command says when it refuses: one line on stderr, nothing on stdout, exit code 2."""
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


class Command:
    """The command as a process of its own, and every process that it starts."""

    def __init__(
        self, here: Path, *argv: str, module: str = "sweep.launch", variables: Mapping[str, str] | None = None
    ) -> None:
        """Start it in a folder, with more variables in its environment."""
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
        """The id of its process."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def said(self) -> str:
        """What it has printed."""
        return self._out.read_text()

    @property
    def last_said(self) -> float:
        """When it printed something for the last time, by the machine's clock."""
        return self._out.stat().st_mtime

    def wait_for(self, text: str) -> None:
        """Until it prints the text, or ends."""
        until(lambda: text in self.said() or self.over)
        assert text in self.said(), self.said()

    def signal_group(self, signum: signal.Signals) -> None:
        """Send a signal to all processes of its group, as a terminal does."""
        os.killpg(self._process.pid, signum)

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(signum)

    def code(self) -> int:
        """Wait for it; gives its exit code, negative where a signal ended it. One that takes too long is killed."""
        try:
            return self._process.wait(LONGEST_WAIT_S)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
            raise

    def end(self) -> int:
        """Wait for it; gives its exit code once no process of its is left (Ray's agents look for it now and then)."""
        code = self.code()
        until(lambda: self.left() == {})
        return code

    def left(self) -> dict[int, str]:
        """The processes of it that live, its own among them: their command lines by id."""
        return dict(self._living())

    def _living(self) -> Iterator[tuple[int, str]]:
        return _marked({self._mark})


class ToyCommand(Command):
    """`sweep.launch` with toy trials (`support.toy_launch`); it begins at once, with everything imported."""

    def _start(self, here: Path, words: list[str], variables: dict[str, str]) -> Forked:
        return Forked(here, words[1:], variables, self._out)

    def _living(self) -> Iterator[tuple[int, str]]:
        yield from super()._living()
        if not self.over:
            yield self.pid, "toy_launch"


def left_over() -> dict[int, str]:
    """The processes of all commands so far that live: their command lines by id."""
    marked = dict(_marked({command._mark for command in STARTED}))
    return {command.pid: type(command).__name__ for command in STARTED if not command.over} | marked


def _marked(marks: set[str]) -> Iterator[tuple[int, str]]:
    """The processes that have one of the marks in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            if any(f"SWEEP_TEST={mark}".encode() in environment for mark in marks):
                yield int(folder.name), (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
