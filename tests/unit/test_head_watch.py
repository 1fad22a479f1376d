"""A cluster that is lost: told once its head was silent for long enough, and not before."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, repeat
from threading import Event

import pytest

from sweep.cluster import head_watch

PATIENT = int(head_watch.SILENCE_TIMEOUT_S / head_watch.CHECK_INTERVAL_S)
"""Looks at a silent head until all patience is gone."""


class Looks(Event):
    """The event that ends a watch, after so many looks; the time of the waits goes by at once."""

    def __init__(self, left: float) -> None:
        """So many looks."""
        super().__init__()
        self.left, self.time = left, 1000.0

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has come."""
        assert timeout is not None
        self.time += timeout
        self.left -= 1
        return self.left < 0


Watched = Callable[[Looks, Iterator[bool]], list[str]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Watches a head for so many looks, at each of which it answers or not; gives what is told."""

    def watch(looks: Looks, answers: Iterator[bool]) -> list[str]:
        def knock(head: str) -> None:
            if not next(answers):
                raise OSError(f"{head} is away")

        said = list[str]()
        monkeypatch.setattr(head_watch, "check_reachable", knock)
        monkeypatch.setattr("sweep.cluster.head_watch.time.monotonic", lambda: looks.time)
        head_watch.poll_head("head", looks, said.append)
        return said

    return watch


def test_a_head_that_answers(watched: Watched) -> None:
    """It is let alone, also after the time that a silent one is given; the watch ends when it is told to."""
    looks = Looks(10 * PATIENT)
    assert watched(looks, repeat(True)) == []
    assert looks.left == -1


def test_a_head_that_is_gone(watched: Watched) -> None:
    """One sentence without its end, once: at the first look after its time."""
    looks = Looks(10 * PATIENT)
    assert watched(looks, repeat(False)) == ["the cluster is lost, its head head does not answer (head is away)"]
    assert 10 * PATIENT - looks.left == PATIENT + 1


def test_a_head_that_is_away_for_a_moment(watched: Watched) -> None:
    """Its silence is counted from its last answer."""
    away = repeat(False, PATIENT)
    looks = Looks(10 * PATIENT)
    assert watched(looks, chain(away, [True], repeat(False))) != []
    assert 10 * PATIENT - looks.left == PATIENT + 1 + PATIENT + 1


def test_a_watch_that_ends_before_the_head_is_lost(watched: Watched) -> None:
    """Nothing is told of a head that is silent, if it is not looked after any more."""
    assert watched(Looks(PATIENT), repeat(False)) == []


def test_a_knock() -> None:
    """It fails with the reason where nobody listens, and only there; what is no host and port is left to Ray."""
    with socket.create_server(("127.0.0.1", 0)) as listens:
        address = "{}:{}".format(*listens.getsockname())
        head_watch.check_reachable(address)
    with closing(listens), pytest.raises(OSError, match=r"^\[Errno 111\] Connection refused$"):
        head_watch.check_reachable(address)
    for other in ("local", "auto", f"http://{address}", f"ray://{address}"):
        head_watch.check_reachable(other)
