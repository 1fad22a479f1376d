"""Detect the loss of the Ray head node; Ray itself kills the driver after a minute without a message."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import ray

CHECK_INTERVAL_S = 5.0
"""Interval between two checks of the head."""
SILENCE_TIMEOUT_S = 30.0
"""Silence after which the cluster counts as lost; a restarted head may answer again before."""


@contextmanager
def watch_head(on_lost: Callable[[str], object]) -> Iterator[None]:
    """Watch the head of the running Ray until the block ends.

    Args:
        on_lost: is called with the problem if the head is lost. The call comes from a separate thread, because Ray
            blocks all threads that wait for the head.
    """
    over, head = Event(), ray.get_runtime_context().gcs_address
    Thread(target=poll_head, args=(head, over, on_lost), name="pulse", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def poll_head(head: str, stopped: Event, on_lost: Callable[[str], object]) -> None:
    """Check the head until `stopped` is set, or until it has been silent for `SILENCE_TIMEOUT_S` seconds."""
    answered = time.monotonic()
    while not stopped.wait(CHECK_INTERVAL_S):
        try:
            check_reachable(head)
            answered = time.monotonic()
        except OSError as error:
            if time.monotonic() - answered > SILENCE_TIMEOUT_S:
                on_lost(f"the cluster is lost, its head {head} does not answer ({error})")
                return


def is_host_and_port(address: str) -> bool:
    """Return True for host:port, False for `auto`, URLs and all else."""
    host, _, port = address.rpartition(":")
    return port.isdigit() and "/" not in host


def check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at host:port, for which Ray itself would wait minutes; skip other addresses."""
    host, _, port = address.rpartition(":")
    if is_host_and_port(address):
        socket.create_connection((host, int(port)), timeout=5).close()
