"""Servers that a test starts, on ports of their own, and ends with it."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

PATIENCE = 120.0
"""Seconds that a server may take to answer; under load MLflow takes tens."""


def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


@contextmanager
def running(command: Sequence[str], folder: Path, answers_at: str) -> Iterator[None]:
    """A server that answers at an address; its whole process group ends with the block.

    Args:
        command: its program and arguments.
        folder: its working directory.
        answers_at: an address that it answers once it is up.
    """
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, stdout=log, stderr=log)  # noqa: S603
    try:
        _wait(server, answers_at)
        yield
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def _wait(server: "subprocess.Popen[bytes]", address: str) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        try:
            with urlopen(address, timeout=1):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {address}, exit code {server.poll()}")
