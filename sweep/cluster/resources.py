"""Room for trials: what each is given of a cluster, and how many fit."""

from collections.abc import Mapping
from typing import Any

import ray

from sweep.config.schema import ClusterConfig

NOTHING = {"memory": 1.0}
"""A byte: a bundle cannot be empty."""


def bundle(cluster: ClusterConfig) -> dict[str, float]:
    """What a trial is given, in Ray's words, all its processes together, which share a node."""
    kind = {f"accelerator_type:{cluster.accelerator}": 0.001} if cluster.accelerator else {}
    gpus = {"GPU": cluster.gpus} if cluster.gpus else {}
    return {"CPU": cluster.cpus} | gpus | kind


def bundles(cluster: ClusterConfig) -> list[dict[str, float]]:
    """What a trial is given: its worker's part, which for several processes is nothing, then theirs."""
    whole = bundle(cluster)
    if cluster.processes == 1:
        return [whole]
    share = {key: amount / cluster.processes for key, amount in whole.items()}
    return [NOTHING, *[share] * cluster.processes]


def options(wants: Mapping[str, float]) -> dict[str, Any]:
    """A bundle as options of a task or an actor."""
    named = {"num_cpus": wants.get("CPU", 0), "num_gpus": wants.get("GPU", 0)}
    return named | {"resources": {key: wants[key] for key in wants if key.startswith("accelerator_type:")}}


def room_for(cluster: ClusterConfig) -> int:
    """How many trials fit at once on the nodes that are there."""
    return sum([_fitting(node["Resources"], bundle(cluster)) for node in _nodes()])


def no_room(cluster: ClusterConfig) -> str:
    """One sentence: what a trial is given, and what this machine has."""
    have = _nodes()[0]["Resources"]
    wanted = ", ".join(f"{key} {amount:g}" for key, amount in bundle(cluster).items())
    has = ", ".join(f"{key} {have.get(key, 0):g}" for key in bundle(cluster))
    return f"cluster = {cluster.name!r}: a trial is given {wanted}, but this machine has {has}."


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _fitting(resources: dict[str, float], wanted: dict[str, float]) -> int:
    """How often the bundle fits into a node (a tenth fits ten times, whatever binary fractions say)."""
    return min(int(resources.get(key, 0.0) / amount + 1e-6) for key, amount in wanted.items())
