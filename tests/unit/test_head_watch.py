"""A cluster that is lost: told once its head was silent for long enough, and not before."""

import socket
from collections.abc import Iterator
from threading import Event

import pytest

from sweep import pulse

PATIENCE = 0.5


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Somebody who listens, and short times."""
    monkeypatch.setattr(pulse, "EVERY", 0.01)
    monkeypatch.setattr(pulse, "PATIENCE", PATIENCE)
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listens:
        yield listens


def test_a_head_that_answers(head: socket.socket) -> None:
    """It is let alone, also after the time that a silent one is given; the watch ends when it is told to."""
    said, over = list[str](), Event()
    over.wait = Looks(50).wait  # type: ignore[method-assign]
    pulse.watch(address(head), over, said.append)
    assert said == []


def test_a_head_that_is_gone(head: socket.socket) -> None:
    """One sentence without its end, once."""
    said, where = list[str](), address(head)
    head.close()
    pulse.watch(where, Event(), said.append)
    assert said == [f"the cluster is lost, its head {where} does not answer ([Errno 111] Connection refused)"]


def test_a_head_that_is_away_for_a_moment(head: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its silence is counted from its last answer."""
    times = iter([0.0, 0.4, 0.6, 0.8, 1.2])  # it begins; silent, silent too long
    monkeypatch.setattr("sweep.pulse.time.monotonic", lambda: next(times))
    answers = iter([OSError("away"), None, OSError("away"), OSError("away")])
    monkeypatch.setattr(pulse, "knock", lambda _: raised(next(answers)))
    said = list[str]()
    pulse.watch("head", Event(), said.append)
    assert said == ["the cluster is lost, its head head does not answer (away)"]
    assert list(times) == []


class Looks:
    """An event that comes after so many looks."""

    def __init__(self, left: int) -> None:
        """So many."""
        self._left = left

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has come."""
        self._left -= 1
        return self._left < 0


def raised(error: OSError | None) -> None:
    """Raise it, if there is one."""
    if error is not None:
        raise error


def address(listens: socket.socket) -> str:
    """Its host:port."""
    return "{}:{}".format(*listens.getsockname())
