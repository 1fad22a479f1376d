"""SIGINT and SIGTERM, noted where they come and raised where the sweep can end cleanly."""

import os
import signal
import sys
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came. Not an Exception, which Ray Tune would take for a failure of its own."""

    def __init__(self, signum: int) -> None:
        """Keep the signal's number."""
        super().__init__(signum)
        self.signum = signum


class Interrupts:
    """From enter to exit both signals are noted, for `check` to raise; a second one ends the process at once."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._came = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Take over both signals."""
        self._before = self.arm()
        return self

    def __exit__(self, *error: object) -> None:
        """Give both signals back."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def arm(self) -> dict[signal.Signals, Any]:
        """Take over both signals (again: `ray.init` takes SIGTERM); gives who had them."""
        return {signum: signal.signal(signum, self._note) for signum in (signal.SIGINT, signal.SIGTERM)}

    def check(self) -> None:
        """Raise Interrupted if a signal has come; called where the ledger is consistent."""
        if self._came:
            raise Interrupted(self._came)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self._came:
            # The live table hid the cursor, and nobody else will show it again.
            os.write(sys.stdout.fileno(), b"\x1b[?25h" if sys.stdout.isatty() else b"")
            os._exit(128 + self._came)
        self._came = signum
