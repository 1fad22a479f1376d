"""A sweep on a Ray cluster of several nodes, one of which is lost in the middle."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient

from support.plans import toy_plan
from support.toys import config as toy_config
from support.waiting import until
from support.workers import FREE, noted
from sweep import run
from sweep.search.study import SweepStudy
from sweep.signals import InterruptHandler

if TYPE_CHECKING:
    from ray._private.node import Node

    from support.rays import Slots

NAME = "nodes"
TRIALS = 12
KIND = "toy"
"""What the nodes have and the head has not, and trials ask for."""


@pytest.fixture
def nodes(ray_slots: "Slots") -> "Iterator[list[Node]]":
    """Two nodes with room for two trials each, besides the head, which has no room for them."""
    with ray_slots.apart(), ray_slots.more(2, num_cpus=2, resources={f"accelerator_type:{KIND}": 1}) as added:
        yield added


def test_a_node_that_is_lost_loses_no_trial(
    mlflow_here: Path, ray_slots: "Slots", nodes: "list[Node]", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials run on both nodes; one is killed with two trials under way; all 12 finish, none twice, also in MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_here / 'mlflow.db'}")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    (mlflow_here / "notes").mkdir()
    config = toy_config(
        mlflow_here / "runs",
        search={"sampler": "random", "trials": TRIALS},
        cluster=ray_slots.cluster(accelerator=KIND).model_dump(),
    )
    lost = threading.Thread(target=lose, args=(ray_slots, nodes[0], mlflow_here / "notes"))
    lost.start()
    plan = toy_plan(config, NAME, partial(noted, mlflow_here / "notes"))
    with InterruptHandler(str) as interrupts:
        (ran,) = run.run_sweeps([plan], [], interrupts)
    lost.join()
    assert [(record.index, record.state) for record in ran.records] == [(i, "finished") for i in range(TRIALS)]
    attempts = SweepStudy(config, NAME).list_attempts("search")
    assert sorted(attempt.index for attempt in attempts if attempt.state == "finished") == list(range(TRIALS))
    lost_ones = [attempt for attempt in attempts if attempt.state == "failed"]
    assert 1 <= len(lost_ones) <= 2
    assert all(attempt.reason.startswith("its process died: ") for attempt in lost_ones)
    began = [path.name.split("-")[1:3] for path in (mlflow_here / "notes").glob("began-*")]
    assert len({node for _, node in began}) == 2
    assert TRIALS < len(began) <= TRIALS + 2  # those that were under way on the lost node began again
    assert finished_runs(mlflow_here) == [str(i) for i in range(TRIALS)]


def lose(slots: "Slots", node: "Node", notes: Path) -> None:
    """Kill a node once a trial is under way on each."""
    try:
        until(lambda: len(held(notes)) == 2)
        slots.nodes.remove_node(node, allow_graceful=False)
    finally:
        (notes / f"lost-{node.node_id}").touch()


def held(notes: Path) -> set[str]:
    """The nodes on which a trial waits for the loss."""
    began = [path.name.split("-")[1:3] for path in notes.glob("began-*")]
    return {node for index, node in began if int(index) >= FREE}


def finished_runs(folder: Path) -> list[str]:
    """The indices of MLflow's nested runs that are finished; all others have failed."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    runs = [run for run in client.search_runs(["1"]) if "mlflow.parentRunId" in run.data.tags]
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"}
    return sorted((run.data.tags["index"] for run in runs if run.info.status == "FINISHED"), key=int)
