"""Whether the cluster is still there: Ray ends a driver that has lost its head after a minute, and says no word."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import ray

EVERY = 5.0
"""Seconds between two looks."""
PATIENCE = 30.0
"""Seconds of silence after which a cluster is lost; a head that is begun again may be back before."""


@contextmanager
def watched(lost: Callable[[str], object]) -> Iterator[None]:
    """Look after the head of the running Ray until the block ends.

    Args:
        lost: is called with what is wrong, in a thread of its own: Ray holds the others, which wait for the head.
    """
    over, head = Event(), ray.get_runtime_context().gcs_address
    Thread(target=watch, args=(head, over, lost), name="pulse", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def watch(head: str, over: Event, lost: Callable[[str], object]) -> None:
    """Knock at the head until the event comes, or until it has been silent for `PATIENCE` seconds."""
    answered = time.monotonic()
    while not over.wait(EVERY):
        try:
            knock(head)
            answered = time.monotonic()
        except OSError as error:
            if time.monotonic() - answered > PATIENCE:
                lost(f"the cluster is lost, its head {head} does not answer ({error})")
                return


def knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()
