"""A wait for a service is told, once it is long."""

import threading
import time
from threading import Timer

import pytest

from support.waiting import until
from sweep.services import waiting
from sweep.services.waiting import tell_wait


def test_a_long_wait_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """While it lasts."""
    monkeypatch.setattr(waiting, "NOTICE_AFTER_S", 0.001)
    said, ends = "", time.monotonic() + 10
    with tell_wait("the hub"):
        while not said and time.monotonic() < ends:
            said = capsys.readouterr().err
    assert said == "waiting for the hub\n"


def test_a_short_wait_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where it ends with an error; no thread stays that would tell it later."""
    with pytest.raises(KeyError), tell_wait("the hub"):
        raise KeyError
    until(lambda: not any(isinstance(one, Timer) for one in threading.enumerate()))
    assert capsys.readouterr().err == ""
