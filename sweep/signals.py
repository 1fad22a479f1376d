"""Signals that end a sweep: recorded on arrival, and raised where the sweep can end cleanly."""

import atexit
import gc
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn, TypeAlias

from sweep.errors import BrokenOffError, Interrupted

Handler: TypeAlias = Callable[[int, FrameType | None], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the request of a cluster manager to end a job, and the closing of a terminal."""
STOPPING = "stopping; finished trials are kept (Ctrl-C again stops at once)"
"""Sentence that answers a first signal, since a clean end takes seconds."""


class InterruptHandler:
    """Context manager that records signals for `raise_if_interrupted`; a second one ends all processes at once."""

    def __init__(self, again: Callable[[], str]) -> None:
        """Start without a signal; `again` returns the command that resumes the sweep."""
        self._resume_command = again
        self._received_signal = 0
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "InterruptHandler":
        """Install the handlers."""
        self._previous_handlers = self.install_handlers()
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the previous handlers."""
        for signum, handler in self._previous_handlers.items():
            signal.signal(signum, handler)

    def install_handlers(self) -> dict[signal.Signals, Any]:
        """Install the handlers, again after `ray.init`, which replaces that of SIGTERM; return the previous ones."""
        return self._set_handler(self._remember_signal)

    def raise_if_interrupted(self) -> None:
        """Raise Interrupted if a signal has arrived, or the reader of the output is gone, as with `| head`.

        Call it only where the study is consistent.
        """
        if stdout_closed() and not self._received_signal:
            self._received_signal = signal.SIGPIPE
        if self._received_signal in SIGNALS:
            print(STOPPING, file=sys.stderr, flush=True)
        if self._received_signal:
            raise Interrupted(self._received_signal)

    def raise_on_signal(self) -> None:
        """Raise the first signal on arrival from now on, or now if one has come: no work needs a clean end any more."""
        self._set_handler(self._raise_signal)
        self.raise_if_interrupted()

    def abort_process(self, why: str) -> NoReturn:
        """Print the error and end the process from any thread, when the failure itself prevents a clean end."""
        print(f"error: {why}; to go on: {self._resume_command()}", file=sys.stderr, flush=True)
        kill_descendants()
        exit_process(1)

    def _set_handler(self, handler: Handler | signal.Handlers) -> dict[signal.Signals, Any]:
        """Set a handler for the signals, except a SIGHUP that `nohup` ignores; return the previous handlers."""
        wanted = SIGNALS if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else SIGNALS[:2]
        return {signum: signal.signal(signum, handler) for signum in wanted}

    def _raise_signal(self, signum: int, frame: FrameType | None) -> None:
        self.install_handlers()
        self._remember_signal(signum, frame)
        self.raise_if_interrupted()

    def _remember_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._received_signal:
            self._set_handler(signal.SIG_IGN)  # a third one changes nothing
            _write_line(f"stopped at once; to go on: {self._resume_command()}")
            kill_descendants()
            exit_process(128 + self._received_signal)
        self._received_signal = signum


class CallerSignals:
    """Stand-in for `InterruptHandler` in a program of somebody else's, whose signal handlers stay in place."""

    def __init__(self) -> None:
        """Remember the handlers of the caller."""
        self._handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
        self._problem = ""

    def install_handlers(self) -> None:
        """Put the caller's handlers back after `ray.init`, which replaces that of SIGTERM in the main thread."""
        if current_thread() is main_thread():
            for signum, handler in self._handlers.items():
                signal.signal(signum, handler)

    def raise_if_interrupted(self) -> None:
        """Raise BrokenOffError if the cluster is lost."""
        if self._problem:
            raise BrokenOffError(self._problem)

    def abort_process(self, why: str) -> None:
        """Remember why the sweep cannot go on: the process is the caller's, and does not end."""
        self._problem = why


@contextmanager
def hold_sighup() -> Iterator[None]:
    """Hold SIGHUP back until the end of the block, also from the processes that the block starts.

    A closing terminal sends it to all processes: Ray's would die, and this process would wait for them in vain.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def enable_fast_exit() -> None:
    """Let this process end fast: on Ctrl-C without a traceback, even during imports, and at its normal end.

    Otherwise Python's last garbage collection visits half a million objects of the libraries, which takes seconds.
    """
    signal.signal(signal.SIGINT, _exit_on_signal)
    atexit.register(gc.freeze)


def stdout_closed() -> bool:
    """Redirect output without a reader to /dev/null, so that printing cannot fail; return True if it was a pipe.

    A closed terminal is redirected too, but is no reason to end: it sends SIGHUP to the processes that it ends.
    """
    looked = select.poll()
    for stream in (1, 2):
        looked.register(stream, 0)
    closed = {stream: event for stream, event in looked.poll(0) if event & (select.POLLERR | select.POLLHUP)}
    for stream in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    return any(event & select.POLLERR for event in closed.values())


def kill_descendants() -> None:
    """Kill all that this process has started, as the Ray of this machine and its workers, and what these started."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            process.kill()


def exit_process(code: int) -> NoReturn:
    """End this process now, whatever its threads do."""
    # A live table hides the cursor, and nothing else would show it again.
    os.write(sys.stdout.fileno(), b"\x1b[?25h" if sys.stdout.isatty() else b"")
    os._exit(code)


def _exit_on_signal(signum: int, frame: FrameType | None) -> NoReturn:
    """End this process; on a terminal, the line of its status is cleared."""
    os.write(1, b"\r\x1b[2K" if os.isatty(1) else b"")
    exit_process(128 + signum)


def _write_line(line: str) -> None:
    """Write a line to stderr past all buffers, which a signal may have interrupted; below a table, not into it."""
    front = "\n" if os.isatty(2) else ""
    os.write(2, f"{front}{line}\n".encode(errors="backslashreplace"))
