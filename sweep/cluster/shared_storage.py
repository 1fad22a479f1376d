"""Check that the nodes of a cluster share the storage: each sees a file of the driver, and can write beside it."""

import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.errors import ConfigError

ANSWER_TIMEOUT_S = 15.0
"""Time within which nodes must answer; one that is busy or lost is ignored, since failed trials are retried."""


def check_storage(storage: Path) -> None:
    """Raise an error if a node of the running Ray does not share the storage with the driver.

    Nodes that join later are not checked. No file is left behind.

    Raises:
        ConfigError: a node does not see the storage, or cannot write in it.
    """
    own = ray.get_runtime_context().get_node_id()
    alive = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    others = [node for node in alive if node != own]
    if not others:
        return
    there = next(folder for folder in (storage, *storage.parents) if folder.is_dir())
    probe = there / f".probe-{uuid.uuid4().hex}"
    try:
        probe.touch()
        problems = _probe_nodes(others, probe)
    finally:
        probe.unlink(missing_ok=True)
    if problems:
        raise ConfigError(f"storage = {str(storage)!r} must be a folder that all nodes share, but {problems[0]}.")


def _probe_nodes(nodes: Sequence[str], probe: Path) -> list[str]:
    """Return one problem, a sentence without a full stop, for each faulty node among those that answer in time."""
    task = ray.remote(_check_node)
    places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    calls = [task.options(num_cpus=0, max_retries=0, scheduling_strategy=place).remote(probe) for place in places]
    answered, _ = ray.wait(calls, num_returns=len(calls), timeout=ANSWER_TIMEOUT_S)
    problems = []
    for call in answered:
        try:
            problems.append(ray.get(call))
        except RayTaskError:
            raise
        except RayError:
            continue  # the node died
    return [problem for problem in problems if problem]


def _check_node(probe: Path) -> str:
    """Return the problem of this node; empty if it sees the probe and can write beside it."""
    name = f"node {socket.gethostname()} ({ray.util.get_node_ip_address()})"  # type: ignore[no-untyped-call]
    if not probe.exists():
        return f"{name}: it does not see the files that the driver writes in {probe.parent}"
    try:
        with TemporaryFile(dir=probe.parent):
            return ""
    except OSError as error:
        return f"{name}: it cannot write in {probe.parent} ({error.strerror})"
