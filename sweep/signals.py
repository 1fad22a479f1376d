"""What ends a sweep from outside: signals, noted where they come and raised where it can end cleanly; what breaks."""

import atexit
import gc
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeAlias

from sweep.errors import Interrupted

Handler: TypeAlias = Callable[[int, FrameType | None], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what a cluster sends to end a job, and a terminal that was closed."""


class Interrupts:
    """From enter to exit the signals are noted, for `check` to raise; a second one ends the process at once."""

    def __init__(self, again: Callable[[], str]) -> None:
        """Nothing has come yet; `again` says how to go on."""
        self._again = again
        self._came = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Take over the signals."""
        self._before = self.arm()
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def arm(self) -> dict[signal.Signals, Any]:
        """Take over the signals (again: `ray.init` takes SIGTERM); gives who had them."""
        return self._taken_by(self._note)

    def check(self) -> None:
        """Raise Interrupted if a signal has come, or the reader of what is printed has gone, as `head` does.

        Called where the ledger is consistent.
        """
        if unread() and not self._came:
            self._came = signal.SIGPIPE
        if self._came:
            raise Interrupted(self._came)

    def raise_at_once(self) -> None:
        """From here on the first signal is raised where it comes: nothing is under way that must end cleanly."""
        self._taken_by(self._raise)
        self.check()

    def end(self, why: str) -> NoReturn:
        """End the process now, from whatever thread, with a sentence: what broke keeps it from ending cleanly."""
        print(f"error: {why}; to go on: {self._again()}", file=sys.stderr, flush=True)
        _exit(1)

    def _taken_by(self, handler: Handler) -> dict[signal.Signals, Any]:
        """Give the signals to a handler, but for SIGHUP that `nohup` has made to be ignored; gives who had them."""
        wanted = SIGNALS if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN else SIGNALS[:2]
        return {signum: signal.signal(signum, handler) for signum in wanted}

    def _raise(self, signum: int, frame: FrameType | None) -> None:
        self.arm()
        self._note(signum, frame)
        self.check()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._came:
            _exit(128 + self._came)
        self._came = signum


@contextmanager
def closing_waits() -> Iterator[None]:
    """Let SIGHUP come at the end of the block, and to no process that is started in it.

    A terminal that is closed sends it to them all: Ray's own would die of it, for which this one would wait in vain.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_at_once() -> None:
    """Let this process end at once: at Ctrl-C without a traceback, also in its imports, and when it is done.

    Python would go through half a million objects of the libraries then, one last time, which takes it seconds.
    """
    signal.signal(signal.SIGINT, lambda signum, frame: os._exit(128 + signum))
    atexit.register(gc.freeze)


def unread() -> bool:
    """Send nowhere what nobody can read any more, so that to print it does not fail; gives whether it is a pipe.

    A terminal that is closed is another matter: it sends SIGHUP to whom it wants to end.
    """
    looked = select.poll()
    for stream in (1, 2):
        looked.register(stream, 0)
    closed = {stream: event for stream, event in looked.poll(0) if event & (select.POLLERR | select.POLLHUP)}
    for stream in closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    return any(event & select.POLLERR for event in closed.values())


def _exit(code: int) -> NoReturn:
    # The live table hid the cursor, and nobody else will show it again.
    os.write(sys.stdout.fileno(), b"\x1b[?25h" if sys.stdout.isatty() else b"")
    os._exit(code)
