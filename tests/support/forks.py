"""Toy drivers that begin with everything imported: each is forked from a process that has done no more than that.

The imports of a driver take as long as all the rest of a toy sweep.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

PRELOADED = ["support.preloaded"]


class Forked:
    """A toy driver, as `subprocess.Popen` shows a process."""

    def __init__(self, here: Path, argv: list[str], variables: dict[str, str], out: Path) -> None:
        """Start it in a folder, with its whole environment; its output goes to a file."""
        out.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process: ForkServerProcess = context.Process(target=_run, args=(here, argv, variables, out))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit code once it has ended, negative where a signal ended it."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired as Popen does."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("toy launch", timeout)
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, signum)


def _run(here: Path, argv: list[str], variables: dict[str, str], out: Path) -> None:
    """Become the process that `python -m support.toy_launch` would have been."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(here)
    os.environ.clear()
    os.environ.update(variables)
    with out.open("w") as file:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", 1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
    sys.argv = ["toy_launch", *argv]
    from support import toy_launch
    from sweep import launch

    toy_launch.use_toys()
    sys.exit(launch.main(argv))
