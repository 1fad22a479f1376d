"""The driver's clock: the machine's may be set while it runs."""

import time

import pytest

from sweep.records import now


def test_the_time_goes_on_whatever_the_machines_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is near the machine's at first, and an hour back or a year forward does not move it."""
    before = now()
    assert abs(before - time.time()) < 60
    for jump in (-3600.0, 3e7):
        monkeypatch.setattr(time, "time", lambda jump=jump: before + jump)
        assert before <= now() < before + 60
