"""Signals: noted where they come, and raised where it is asked; test_ended_processes.py has what ends a process."""

import os
import signal

import pytest

from sweep.errors import Interrupted
from sweep.signals import SIGNALS, InterruptHandler


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_is_noted_and_raised_where_it_is_asked(signum: signal.Signals) -> None:
    """Not where it comes; afterwards whoever had the signal has it again."""
    before = signal.getsignal(signum)
    with InterruptHandler(str) as interrupts:
        interrupts.raise_if_interrupted()
        os.kill(os.getpid(), signum)
        with pytest.raises(Interrupted) as raised:
            interrupts.raise_if_interrupted()
    assert raised.value.signum == signum
    assert signal.getsignal(signum) == before


def test_a_signal_may_be_raised_where_it_comes() -> None:
    """Once that is allowed; one that came before is raised there and then."""
    with InterruptHandler(str) as interrupts:
        interrupts.raise_on_signal()
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    with InterruptHandler(str) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted):
            interrupts.raise_on_signal()
