"""Connect to Ray: start it on this machine, or join a cluster at an address."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from sweep.cluster.access_token import check_token_file, provide_local_token, send_token
from sweep.cluster.head_watch import check_reachable, is_host_and_port
from sweep.cluster.resources import count_slots, no_slot_message
from sweep.config.schema import ClusterConfig
from sweep.errors import BrokenOffError, ConfigError, Interrupted
from sweep.redaction import to_single_line
from sweep.signals import hold_sighup
from sweep.status import show_status

OBJECT_STORE_BYTES = 256 * 2**20
"""Size of a local Ray's object store, which stays small because models pass through files, not through Ray."""


@contextmanager
def connect_ray(cluster: ClusterConfig) -> Iterator[int]:
    """Start Ray on this machine, or join the Ray at the configured address, until the block ends.

    The address is `cluster.address`, else the variable RAY_ADDRESS.

    Yields:
        The number of trials to run at once.

    Raises:
        ConfigError: no Ray answers at the address, it wants another token, or this machine is too small for a trial.
        BrokenOffError: Ray did not start.
        Interrupted: SIGTERM arrived while Ray started.
    """
    address = cluster.address or os.environ.get("RAY_ADDRESS", "local")
    local: dict[str, Any] = (
        {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False} if address == "local" else {}
    )
    try:
        check_token_file()
        check_reachable(address.removeprefix("ray://"))
        if address == "local":
            provide_local_token()
        elif is_host_and_port(address):
            send_token(address)
        with show_status("starting Ray" if address == "local" else "connecting to Ray"), hold_sighup():
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **local)
    except ConfigError:
        raise
    except Exception as error:  # Ray raises many types, for a slow machine or a full disk
        if address != "local" and isinstance(error, OSError | ValueError):
            why = str(error).splitlines()[0]
            raise ConfigError(f"cluster.address = {address!r}: no Ray answers there ({why}).") from None
        raise BrokenOffError(f"Ray did not start: {to_single_line(str(error))}") from None
    except SystemExit:  # Ray's own handler of the signal raises it
        raise Interrupted(signal.SIGTERM) from None
    try:
        room = count_slots(cluster)
        if room == 0 and address == "local":
            raise ConfigError(no_slot_message(cluster))
        # An autoscaling cluster may have no node yet.
        yield cluster.concurrency or max(room, 1)
    finally:
        ray.shutdown()
