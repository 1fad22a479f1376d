"""The driver's clock: the order and the length of what it times do not depend on how the machine's is set meanwhile."""

import time

_START = time.time() - time.monotonic()


def now() -> float:
    """Unix time in seconds as it was when the process began, and what has passed since."""
    return _START + time.monotonic()
