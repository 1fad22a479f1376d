"""Whether the nodes of a cluster share the storage: what the driver writes there, all see, and the other way round."""

import socket
import uuid
from collections.abc import Sequence
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.errors import ConfigError

PATIENCE = 15.0
"""Seconds that nodes have to answer; one that is too busy or gone is left to the trials, which are tried again."""


def check(storage: Path) -> None:
    """Refuse a storage that a node of the running Ray does not share with the driver; leaves nothing behind.

    Nodes that join later are not asked.

    Raises:
        ConfigError: a node does not see the storage, or cannot write in it.
    """
    others = _others()
    if not others:
        return
    there = next(folder for folder in (storage, *storage.parents) if folder.is_dir())
    probe = there / f".probe-{uuid.uuid4().hex}"
    try:
        probe.touch()
        said = _asked(others, probe)
    finally:
        for file in (probe, *(_answer(probe, node) for node in others)):
            file.unlink(missing_ok=True)
    if said:
        raise ConfigError(f"storage = {str(storage)!r} must be a folder that all nodes share, but {said[0]}.")


def _others() -> list[str]:
    """The ids of the nodes that are alive, without the driver's own."""
    own = ray.get_runtime_context().get_node_id()
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["NodeID"] for node in nodes if node["Alive"] and node["NodeID"] != own]


def _asked(nodes: Sequence[str], probe: Path) -> list[str]:
    """What is wrong on the nodes that answer in time, one sentence without an end for each of them."""
    task = ray.remote(_look)
    asked = {}
    for node in nodes:
        where = NodeAffinitySchedulingStrategy(node, soft=False)
        answer = _answer(probe, node)
        asked[task.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote(probe, answer)] = answer
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE)
    return [said for one in answered if (said := _found(one, asked[one]))]


def _found(asked: "ray.ObjectRef[tuple[str, str]]", answer: Path) -> str:
    """What is wrong on one node, nothing where all is well or the node has died."""
    try:
        name, wrong = ray.get(asked)
    except RayTaskError:
        raise
    except RayError:
        return ""
    if not wrong and not answer.exists():
        wrong = "what it writes there is not seen here"
    return f"node {name}: {wrong}" if wrong else ""


def _look(probe: Path, answer: Path) -> tuple[str, str]:
    """On a node: its name, and what keeps it from seeing the probe or from answering beside it."""
    name = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"  # type: ignore[no-untyped-call]
    if not probe.exists():
        return name, f"what the driver writes in {probe.parent} is not seen there"
    try:
        answer.touch()
    except OSError as error:
        return name, f"it cannot write in {probe.parent} ({error.strerror})"
    return name, ""


def _answer(probe: Path, node: str) -> Path:
    """What a node writes beside the probe."""
    return probe.with_name(f"{probe.name}-{node}")
