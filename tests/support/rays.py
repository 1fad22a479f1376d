"""Start real Ray nodes on free ports of this machine, with a token; each ends with its block."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import ray.util
from ray._private import utils
from ray._private.node import Node
from ray.cluster_utils import Cluster

from support import toys
from support.commands import ROOT
from support.servers import free_port
from support.waiting import LONGEST_WAIT_S, until
from sweep.cluster.connection import connect_ray
from sweep.config.schema import ClusterConfig

TOKEN = "planted-token-0123456789abcdef0123456789"  # noqa: S105 (of a cluster that lives as long as a test)
FRONT = Path(sys.executable).parent
"""Folder of this environment's `ray` and `python`, with which a head runs jobs."""


LEAN = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""Options of a head without three processes that toys do not need."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A running head.

    Attributes:
        address: address of the cluster, for a driver or another node.
        dashboard: URL of the dashboard, to which jobs are sent.
        folder: folder of Ray's logs and of the files of jobs.
    """

    address: str
    dashboard: str
    folder: Path


def environment(**more: str) -> dict[str, str]:
    """Return the environment with which a process can talk to these nodes, and run the checkout."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    own |= {"PATH": f"{FRONT}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return own | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"} | more


@contextmanager
def head(variables: dict[str, str]) -> Iterator[Head]:
    """Start a head with two cores and a dashboard."""
    host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    port, dashboard, agent = free_port(), free_port(), free_port()
    with TemporaryDirectory(prefix="ray-") as folder:
        options = ["--head", f"--port={port}", f"--temp-dir={folder}", f"--dashboard-port={dashboard}", "--num-cpus=2"]
        options += [f"--dashboard-agent-listen-port={agent}", "--ray-client-server-port", str(free_port())]
        # The head accepts jobs once the agent listens.
        with node([*options, "--dashboard-host=127.0.0.1"], variables, Path(folder) / "head.txt"):
            until(lambda: listens(host, agent) and listens("127.0.0.1", dashboard))
            yield Head(address=f"{host}:{port}", dashboard=f"http://127.0.0.1:{dashboard}", folder=Path(folder))


@contextmanager
def node(options: Sequence[str], variables: dict[str, str], log: Path, before: Sequence[str] = ()) -> Iterator[None]:
    """Start a node, and wait until it is up.

    Args:
        options: options of `ray start`.
        variables: its environment.
        log: file for its output.
        before: a command that is put in front, and runs `ray start`.
    """
    command = [*before, "ray", "start", *options, "--block", "--num-gpus=0", "--object-store-memory=100000000"]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=variables, cwd=log.parent, stdout=out, stderr=out)  # noqa: S603
    try:
        until(lambda: process.poll() is not None or "block forever" in log.read_text())
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()  # the node ends its own processes
        process.wait(LONGEST_WAIT_S)


@contextmanager
def cluster(nodes: int, cpus: int) -> Iterator[Cluster]:
    """Start a head without cores for trials, and nodes with `cpus` cores each, for drivers of this environment."""
    with _lean_agents():
        up = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **LEAN})
    try:
        with _lean_agents():
            for _ in range(nodes):
                up.add_node(num_cpus=cpus)
        up.wait_for_nodes()
        yield up
    finally:
        up.shutdown()  # type: ignore[no-untyped-call]


class Slots:
    """A Ray that runs two toy trials at once; the test process is its driver, and can be the driver of only one Ray.

    Attributes:
        nodes: the cluster: a head with two cores, and the nodes that a test adds for a while.
        room: number of trials that run at once.
    """

    def __init__(self, nodes: Cluster) -> None:
        """Connect this process as the driver."""
        self.nodes = nodes
        self._driver = ExitStack()
        self.room = self._drive()

    def cluster(self, **changes: Any) -> ClusterConfig:
        """Return the cluster block of a toy sweep on this Ray, with changes."""
        return toys.config(Path()).cluster.model_copy(update={"address": self.nodes.address} | changes)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Disconnect this process during the block, so that it can be the driver of another Ray."""
        self.close()
        try:
            yield
        finally:
            self._drive()

    @contextmanager
    def more(self, nodes: int, **wants: Any) -> Iterator[list[Node]]:
        """Add nodes with these resources each, until the block ends or the test removes them."""
        with _as_before(**VARIABLES), _lean_agents():
            added = [self.nodes.add_node(**wants) for _ in range(nodes)]
        try:
            yield added
        finally:
            for node in self.nodes.worker_nodes & {*added}:
                self.nodes.remove_node(node)
            until(lambda: len(self._alive()) == 1 + len(self.nodes.worker_nodes))

    def close(self) -> None:
        """Disconnect this process."""
        self._driver.close()

    def _alive(self) -> Sequence[str]:
        """Return the ids of the nodes that the head counts as alive."""
        found: Sequence[str] = self.nodes.global_state._live_node_ids()  # type: ignore[no-untyped-call]
        return found

    def _drive(self) -> int:
        handler = signal.getsignal(signal.SIGTERM)
        with _as_before(**VARIABLES):
            room = self._driver.enter_context(connect_ray(self.cluster()))
        signal.signal(signal.SIGTERM, handler)  # Ray installs its own
        return room


VARIABLES = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "RAY_AUTH_MODE": "disabled",
}
"""Variables of the processes of `Slots`: with the checkout and the toys on their path, and without a token."""
HEAD = VARIABLES | {"RAY_health_check_period_ms": "200"}
"""Variables of the head, which checks its nodes often but leaves a busy one the default time to answer."""


@contextmanager
def slots() -> Iterator[Slots]:
    """Start a Ray for all tests of this process, without leaving a trace in its environment."""
    with _as_before(**HEAD), _lean_agents():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **LEAN})
    try:
        with closing(Slots(nodes)) as up:
            yield up
    finally:
        nodes.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def _lean_agents() -> Iterator[None]:
    """Give the nodes that start in the block agents without a web server, as where Ray has no dashboard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "get_dashboard_dependency_error", lambda: ImportError("not needed"))
        yield


@contextmanager
def _as_before(**variables: str) -> Iterator[None]:
    """Set variables for the block, and restore the whole environment at its end."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)


def listens(host: str, port: int) -> bool:
    """Return True if a server listens at a port."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
