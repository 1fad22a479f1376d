"""Tell the user what a command waits for, where a service does not answer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

NOTICE_AFTER_S = 10.0
"""Time in seconds after which a wait is told."""


@contextmanager
def tell_wait(service: str) -> Iterator[None]:
    """Print one line to stderr if the block takes longer than `NOTICE_AFTER_S`; the name holds no password."""
    timer = Timer(NOTICE_AFTER_S, print, [f"waiting for {service}"], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
