"""Waiting for an event: a file, a line of output, a state; never for a number of seconds."""

import os
import time
from collections.abc import Callable

SCALE = float(os.environ.get("TIMEOUT_SCALE", "1"))
"""By what the limits of all tests are multiplied, for a machine that is slow."""
TIER_TIMEOUTS_S = {"unit": 30.0, "integration": 120.0, "e2e": 300.0}
"""Seconds that a test of each tier may take, with the fixtures that it is the first to need."""
LONGEST_WAIT_S = SCALE * TIER_TIMEOUTS_S["e2e"]
"""Seconds after which what is waited for will never come: no test may take longer."""


def until(condition: Callable[[], bool], longest_s: float = LONGEST_WAIT_S) -> None:
    """Wait until the condition holds; raises AssertionError if it does not within the seconds."""
    end = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < end, f"it did not happen within {longest_s:.0f} s"
        time.sleep(0.05)
