"""Detect the loss of the Ray head node; Ray itself kills the driver after a minute without a message."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import ray

EVERY = 5.0
"""Interval between two checks of the head."""
PATIENCE = 30.0
"""Silence after which the cluster counts as lost; a restarted head may answer again before."""


@contextmanager
def watched(lost: Callable[[str], object]) -> Iterator[None]:
    """Watch the head of the running Ray until the block ends.

    Args:
        on_lost: is called with the problem if the head is lost. The call comes from a separate thread, because Ray
            blocks all threads that wait for the head.
    """
    over, head = Event(), ray.get_runtime_context().gcs_address
    Thread(target=watch, args=(head, over, lost), name="pulse", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def watch(head: str, over: Event, lost: Callable[[str], object]) -> None:
    """Check the head until `stopped` is set, or until it has been silent for `SILENCE_TIMEOUT_S` seconds."""
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
    """Raise OSError if nothing listens at host:port, for which Ray itself would wait minutes; skip other addresses."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()
