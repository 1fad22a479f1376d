"""Compute the resources of a trial, and the number of trials that fit on a cluster at once."""

from collections.abc import Mapping
from typing import Any

import ray

from sweep.config.schema import ClusterConfig

EMPTY_BUNDLE = {"memory": 1.0}
"""Bundle of one byte of memory, because Ray accepts no empty bundle."""


def trial_resources(cluster: ClusterConfig) -> dict[str, float]:
    """Return the resources of a trial by Ray's names, summed over its processes, which share a node."""
    kind = {f"accelerator_type:{cluster.accelerator}": 0.001} if cluster.accelerator else {}
    gpus = {"GPU": cluster.gpus} if cluster.gpus else {}
    return {"CPU": cluster.cpus} | gpus | kind


def placement_bundles(cluster: ClusterConfig) -> list[dict[str, float]]:
    """Return the bundles of a trial's placement group: all for the worker, or with several processes a share for each.

    With several processes the worker's own bundle comes first and is empty.
    """
    whole = trial_resources(cluster)
    if cluster.processes == 1:
        return [whole]
    share = {key: amount / cluster.processes for key, amount in whole.items()}
    return [EMPTY_BUNDLE, *[share] * cluster.processes]


def ray_options(bundle: Mapping[str, float]) -> dict[str, Any]:
    """Convert a bundle to the options of a Ray task or actor."""
    named = {"num_cpus": bundle.get("CPU", 0), "num_gpus": bundle.get("GPU", 0)}
    return named | {"resources": {key: bundle[key] for key in bundle if key.startswith("accelerator_type:")}}


def count_slots(cluster: ClusterConfig) -> int:
    """Count the trials that fit at once on the nodes that are alive."""
    return sum([_count_fitting(node["Resources"], trial_resources(cluster)) for node in _list_alive_nodes()])


def no_slot_message(cluster: ClusterConfig) -> str:
    """Return the error message for a machine that is too small for one trial: resources needed and present."""
    have = _list_alive_nodes()[0]["Resources"]
    wanted = ", ".join(f"{key} {amount:g}" for key, amount in trial_resources(cluster).items())
    has = ", ".join(f"{key} {have.get(key, 0):g}" for key in trial_resources(cluster))
    return f"cluster = {cluster.name!r}: a trial needs {wanted}, but this machine has {has}."


def _list_alive_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _count_fitting(resources: dict[str, float], wanted: dict[str, float]) -> int:
    """Return how often a bundle fits into a node; rounded so that a tenth fits ten times."""
    return min(int(resources.get(key, 0.0) / amount + 1e-6) for key, amount in wanted.items())
