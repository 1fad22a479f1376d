"""Start toy drivers as forks of a process that has only imported everything.

The imports of a driver take as long as the rest of a toy sweep.
"""

import atexit
import multiprocessing
import os
import signal
import site
import subprocess
import sys
import tempfile
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.waiting import until

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

PATHS = f"{Path(__file__).parents[2]}{os.pathsep}{Path(__file__).parents[1]}"
"""PYTHONPATH with the checkout's packages and the tests' own."""
VARIABLES = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_"))}
"""Environment before any test changes it, without the variables that a driver sets itself."""


class Forked:
    """A toy driver with part of the interface of `subprocess.Popen`; it ends with the tests at the latest."""

    def __init__(self, here: Path, argv: list[str], variables: dict[str, str], out: Path) -> None:
        """Start the driver in a folder with exactly these variables; its output goes to a file."""
        out.touch()
        _preload()
        context = multiprocessing.get_context("forkserver")
        self._process: ForkServerProcess = context.Process(target=_run, args=(here, argv, variables, out), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        until(self._leads)

    def poll(self) -> int | None:
        """Return the exit code, negative after a signal; None while the driver runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end, and return the exit code; raise subprocess.TimeoutExpired as Popen does."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("toy launch", timeout)
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        """Send the driver a signal unless it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, signum)

    def _leads(self) -> bool:
        """Return True once the driver leads its own process group, or has ended."""
        try:
            return self._process.exitcode is not None or os.getpgid(self.pid) == self.pid
        except ProcessLookupError:
            return True


def _preload() -> None:
    """Start the process from which drivers are forked, once, without variables that tests have set."""
    before = dict(os.environ)
    forkserver.set_forkserver_preload(["support.preloaded"])
    try:
        os.environ.clear()
        os.environ.update(VARIABLES | {"HOME": before["HOME"], "PYTHONPATH": PATHS, "PYTHONSAFEPATH": "1"})
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(here: Path, argv: list[str], variables: dict[str, str], out: Path) -> None:
    """Become the process that `python -m support.toy_launch` would have been."""
    from support import preloaded, toy_launch
    from sweep.launch import main
    from sweep.signals import enable_fast_exit

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    enable_fast_exit()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(here)
    os.environ.clear()
    os.environ.update(preloaded.DEFAULTS | variables | preloaded.SET)
    tempfile.tempdir = None
    _tell_ray()
    _print_to(out)
    sys.argv = [toy_launch.__file__, *argv]
    own = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [str(here), *own, *(path for path in preloaded.PATH if path not in PATHS.split(os.pathsep))]
    site.execsitecustomize()
    os.setsid()  # last, because `Forked.__init__` waits for it
    toy_launch.use_toys()
    try:
        sys.exit(main(argv))
    finally:
        atexit._run_exitfuncs()  # multiprocessing does not run them


def _tell_ray() -> None:
    """Let Ray, which read its variables and its token when it was imported, read them again."""
    compiled: Any = import_module("ray._raylet")
    compiled.Config.initialize("")
    compiled.AuthenticationTokenLoader.instance().reset_cache()


def _print_to(out: Path) -> None:
    """Redirect stdout and stderr to the file, line by line, and stdin to /dev/null."""
    file = os.open(out, os.O_WRONLY | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = os.fdopen(1, "w", 1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
