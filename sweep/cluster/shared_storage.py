"""Check that the nodes of a cluster share the storage: each sees the driver's files, and the driver theirs."""

import socket
import uuid
from collections.abc import Sequence
from pathlib import Path

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
    others = _list_other_nodes()
    if not others:
        return
    there = next(folder for folder in (storage, *storage.parents) if folder.is_dir())
    probe = there / f".probe-{uuid.uuid4().hex}"
    try:
        probe.touch()
        said = _probe_nodes(others, probe)
    finally:
        for file in (probe, *(_answer_path(probe, node) for node in others)):
            file.unlink(missing_ok=True)
    if said:
        raise ConfigError(f"storage = {str(storage)!r} must be a folder that all nodes share, but {said[0]}.")


def _list_other_nodes() -> list[str]:
    """Return the ids of the nodes that are alive, without the driver's own."""
    own = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["NodeID"] for node in nodes if node["Alive"] and node["NodeID"] != own]


def _probe_nodes(nodes: Sequence[str], probe: Path) -> list[str]:
    """Return one problem, a sentence without a full stop, for each faulty node among those that answer in time."""
    task = ray.remote(_check_node)
    asked = {}
    for node in nodes:
        where = NodeAffinitySchedulingStrategy(node, soft=False)
        answer = _answer_path(probe, node)
        asked[task.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote(probe, answer)] = answer
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
    return [said for one in answered if (said := _read_problem(one, asked[one]))]


def _read_problem(asked: "ray.ObjectRef[tuple[str, str]]", answer: Path) -> str:
    """Return the problem of one node; empty if it shares the storage or has died."""
    try:
        name, wrong = ray.get(asked)
    except RayTaskError:
        raise
    except RayError:
        return ""
    if not wrong and not answer.exists():
        wrong = "the driver does not see the files that it writes there"
    return f"node {name}: {wrong}" if wrong else ""


def _check_node(probe: Path, answer: Path) -> tuple[str, str]:
    """Check the probe on a node, and answer with a file beside it.

    Returns:
        The node's name, and its problem (empty if it sees the probe and can write the answer).
    """
    name = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"  # type: ignore[no-untyped-call]
    if not probe.exists():
        return name, f"it does not see the files that the driver writes in {probe.parent}"
    try:
        answer.touch()
    except OSError as error:
        return name, f"it cannot write in {probe.parent} ({error.strerror})"
    return name, ""


def _answer_path(probe: Path, node: str) -> Path:
    """Return the path of the file with which a node answers, beside the probe."""
    return probe.with_name(f"{probe.name}-{node}")
