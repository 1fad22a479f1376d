"""Wait for an event, such as a file, a line of output or a state, and never for a fixed time."""

import os
import time
from collections.abc import Callable

SCALE = float(os.environ.get("TIMEOUT_SCALE", "1"))
"""Factor on the time limits of all tests, for a slow machine."""
TIER_TIMEOUTS_S = {"unit": 30.0, "integration": 120.0, "e2e": 300.0}
"""Longest duration of a test in each tier, with the fixtures that it is the first to need."""
LONGEST_WAIT_S = SCALE * TIER_TIMEOUTS_S["e2e"]
"""Longest wait for an event, which is also the limit of every test."""


def until(condition: Callable[[], bool], longest_s: float = LONGEST_WAIT_S) -> None:
    """Wait until the condition holds; raise AssertionError if it does not hold within `longest_s`."""
    end = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < end, f"it did not happen within {longest_s:.0f} s"
        time.sleep(0.05)
