"""Nodes of a Ray cluster are lost while a sweep runs on them: in the preparation, in a trial, and the head.

PYTHONPATH=tests python -m faults.node
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ray._private.node import Node
from ray.cluster_utils import Cluster

from faults.common import RESUME, SWEEP, Moment, Outcome, Start, over, printed, show, start, whole
from faults.worker import PREPARATION, TRIAL
from support.commands import ROOT, Command
from support.rays import cluster

PROMISED = 120.0
"""Seconds in which a driver without a head ends, under load; `sweep.cluster.head_watch` gives it half a minute."""


def lose(up: Cluster, command: Command, title: str) -> None:
    """Kill the node on which a process of this title is, once there is one."""
    while not (found := _hosts(up, title)):
        assert not command.over, command.said()
        time.sleep(0.05)
    up.remove_node(found[0], allow_graceful=False)


def nodes_lost(here: Path) -> None:
    """A sweep is whole although the node of its preparation is lost, and then that of a trial; another one joins."""
    with cluster(2, cpus=1) as up:
        command = start(here, *SWEEP, RAY_ADDRESS=up.address)
        lose(up, command, PREPARATION)
        up.add_node(num_cpus=1)
        command.wait_for("prepared reference")
        lose(up, command, f"{TRIAL}.train")
        assert command.end() == 0, command.said()
    whole(here)


@dataclass(frozen=True, kw_only=True)
class Headless:
    """A sweep that has lost its head.

    Attributes:
        command: its driver.
        lost: when it was lost, by the machine's clock.
    """

    command: Command
    lost: float


@contextmanager
def headless(here: Path, moment: Moment, begin: Start = start) -> Iterator[Headless]:
    """A sweep whose head is lost at a moment; its other node is there until the block ends."""
    with cluster(1, cpus=1) as up:
        command = begin(here, *SWEEP, RAY_ADDRESS=up.address)
        with moment(command):
            assert up.head_node is not None
            up.remove_node(up.head_node, allow_graceful=False)
            lost = time.time()
        yield Headless(command=command, lost=lost)


def told(one: Headless) -> float:
    """The driver ends with a sentence; gives the seconds until it says so."""
    code, said = one.command.code(), one.command.said()
    seconds = one.command.last_said - one.lost
    assert code == 1, said
    assert seconds < PROMISED
    error = said.splitlines()[-1]
    assert error.startswith("error: the cluster is lost, "), said
    assert error.endswith("; to go on: python -m sweep.launch --resume faults"), said
    return seconds


def goes_on(here: Path, begin: Start = start) -> None:
    """The sweep is whole under another head."""
    before = over(here)
    with cluster(1, cpus=1) as up:
        again = begin(here, *RESUME, RAY_ADDRESS=up.address)
        assert again.end() == 0, again.said()
    whole(here, before=before)


def faults() -> Iterator[Outcome]:
    """Two nodes are lost under one sweep, the head under another."""
    os.environ["PYTHONPATH"] = str(ROOT)  # of the workers, which the nodes start
    with TemporaryDirectory(prefix="faults-") as folder:
        nodes_lost(Path(folder))
    yield Outcome(
        fault="a node lost in the preparation, another in a trial",
        times=1,
        held="begun again on the other node by itself; then whole",
        lost="the attempt under way",
    )
    with TemporaryDirectory(prefix="faults-") as folder:
        with headless(Path(folder), printed("search 0")) as one:
            seconds = told(one)
        goes_on(Path(folder))
    yield Outcome(
        fault="the head lost",
        times=1,
        held=f"one sentence and exit code 1 after {seconds:.0f} s; then whole under another head",
        lost="the trial under way",
    )


def _hosts(up: Cluster, title: str) -> list[Node]:
    """The nodes on which a process of this title is."""
    parents = {_parent(folder) for folder in Path("/proc").glob("[0-9]*") if _title(folder).startswith(title)}
    return [node for node in up.worker_nodes if node.all_processes["raylet"][0].process.pid in parents]


def _title(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    show(faults())
