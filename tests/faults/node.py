"""Lose nodes of a Ray cluster while a sweep runs on them: in the preparation, in a trial, and the head.

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
"""Seconds within which a driver must end after its head is lost, under load; `head_watch` waits half a minute."""


def lose(up: Cluster, command: Command, title: str) -> None:
    """Kill the node of a process with this title, once there is one."""
    while not (found := _hosts(up, title)):
        assert not command.over, command.said()
        time.sleep(0.05)
    up.remove_node(found[0], allow_graceful=False)


def nodes_lost(here: Path) -> None:
    """Lose the node of the preparation, and once another has joined that of a trial; the sweep must end whole."""
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
        lost: time of the loss, by the machine's clock.
    """

    command: Command
    lost: float


@contextmanager
def headless(here: Path, moment: Moment, begin: Start = start) -> Iterator[Headless]:
    """Start a sweep and kill its head at a moment; the other node stays until the block ends."""
    with cluster(1, cpus=1) as up:
        command = begin(here, *SWEEP, RAY_ADDRESS=up.address)
        with moment(command):
            assert up.head_node is not None
            up.remove_node(up.head_node, allow_graceful=False)
            lost = time.time()
        yield Headless(command=command, lost=lost)


def told(one: Headless) -> float:
    """Check that the driver ends with one sentence, and return the seconds until it printed it."""
    code, said = one.command.code(), one.command.said()
    seconds = one.command.last_said - one.lost
    assert code == 1, said
    assert seconds < PROMISED
    error = said.splitlines()[-1]
    assert error.startswith("error: the cluster is lost, "), said
    assert error.endswith("; to go on: python -m sweep.launch --resume faults"), said
    return seconds


def goes_on(here: Path, begin: Start = start) -> None:
    """Resume the sweep on another head, and check that it is whole."""
    before = over(here)
    with cluster(1, cpus=1) as up:
        again = begin(here, *RESUME, RAY_ADDRESS=up.address)
        assert again.end() == 0, again.said()
    whole(here, before=before)


def faults() -> Iterator[Outcome]:
    """Lose two nodes of one sweep, and the head of another."""
    os.environ["PYTHONPATH"] = str(ROOT)  # for the workers, which the nodes start
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
    """Return the nodes that have a process with this title."""
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
