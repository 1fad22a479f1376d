"""Real Ray nodes on this machine, with a token, on ports of their own; each ends with its block."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import ray.util
from ray.cluster_utils import Cluster

from support.commands import ROOT
from support.servers import free_port
from support.waiting import LONGEST_WAIT_S, until

TOKEN = "planted-token-0123456789abcdef0123456789"  # noqa: S105 (of a cluster that lives as long as a test)
FRONT = Path(sys.executable).parent
"""Where this environment's `ray` and `python` are, which a head runs jobs with."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head that is up.

    Attributes:
        address: of the cluster, for a driver or another node.
        dashboard: URL of the dashboard, to which jobs are sent.
        folder: where Ray keeps its logs and the files of jobs.
    """

    address: str
    dashboard: str
    folder: Path


def environment(**more: str) -> dict[str, str]:
    """What a process needs to talk to these nodes, and to run the checkout."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    own |= {"PATH": f"{FRONT}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return own | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"} | more


@contextmanager
def head(variables: dict[str, str]) -> Iterator[Head]:
    """A head of two cores with a dashboard, in an environment."""
    host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    port, dashboard, agent = free_port(), free_port(), free_port()
    with TemporaryDirectory(prefix="ray-") as folder:
        options = ["--head", f"--port={port}", f"--temp-dir={folder}", f"--dashboard-port={dashboard}", "--num-cpus=2"]
        options += [f"--dashboard-agent-listen-port={agent}", "--ray-client-server-port", str(free_port())]
        # Jobs are taken once the agent listens.
        with node([*options, "--dashboard-host=127.0.0.1"], variables, Path(folder) / "head.txt"):
            until(lambda: listens(host, agent) and listens("127.0.0.1", dashboard))
            yield Head(address=f"{host}:{port}", dashboard=f"http://127.0.0.1:{dashboard}", folder=Path(folder))


@contextmanager
def node(options: Sequence[str], variables: dict[str, str], log: Path, before: Sequence[str] = ()) -> Iterator[None]:
    """A node that is up.

    Args:
        options: of `ray start`.
        variables: its environment.
        log: where its output goes.
        before: a command in front, which runs `ray start` in its turn.
    """
    command = [*before, "ray", "start", *options, "--block", "--num-gpus=0", "--object-store-memory=100000000"]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=variables, cwd=log.parent, stdout=out, stderr=out)  # noqa: S603
    try:
        until(lambda: process.poll() is not None or "block forever" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()  # it ends its own processes
        process.wait(LONGEST_WAIT_S)


@contextmanager
def cluster(nodes: int, cpus: int) -> Iterator[Cluster]:
    """A head without room for trials, and nodes with so many cores each, for drivers of this environment."""
    up = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(nodes):
            up.add_node(num_cpus=cpus)
        up.wait_for_nodes()
        yield up
    finally:
        up.shutdown()  # type: ignore[no-untyped-call]


def listens(host: str, port: int) -> bool:
    """Whether somebody listens at a port."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
