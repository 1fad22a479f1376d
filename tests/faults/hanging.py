"""Hang trials: each is killed after cluster.deadline and restarted in a fresh process, and the sweep goes on.

PYTHONPATH=tests python -m faults.hanging
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import SWEEP, Outcome, attempts, show, start, whole
from faults.strange import SHORT, strange

SECONDS = 60
"""Deadline of a trial; one that does not hang takes a few seconds on a quiet machine."""
DEADLINE = f"cluster.deadline={SECONDS / 3600:.6f}"
HANGS = {
    "sleeps": "time.sleep(10_000)",
    "keeps Python's lock": 're.match(r"(a+)+$", "a" * 60 + "b")',
    "waits in PyTorch for a process that never comes": (
        'torch.distributed.TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=True)'
    ),
}


def hung(here: Path, act: str, *words: str) -> None:
    """Hang the first trial once, and check that the sweep is whole."""
    own = [*SHORT, *strange(here, act), DEADLINE, *words]
    command = start(here, *SWEEP, *own)
    assert command.end() == 0, command.said()
    first = attempts(here)["search"][0]
    assert first.state == "failed", first
    assert first.reason.startswith("it ran longer than cluster.deadline = "), first
    assert first.ended - first.started >= SECONDS, first
    assert "mine/strange.py, line " in first.reason, first
    assert "raylet" not in command.said(), command.said()
    whole(here)


def faults() -> Iterator[Outcome]:
    """Hang a trial in each way, and last one of a trial's two processes."""
    for what, act in HANGS.items():
        with TemporaryDirectory(prefix="faults-") as folder:
            hung(Path(folder), act)
        yield _outcome(f"a trial {what}")
    with TemporaryDirectory(prefix="faults-") as folder:
        two = ("cluster.processes=2", "cluster.cpus=2", "search.trials=1", "cluster.deadline=0.1")
        hung(Path(folder), HANGS["keeps Python's lock"], *two)
    yield _outcome("a trial of two processes, of which one keeps Python's lock")


def _outcome(fault: str) -> Outcome:
    return Outcome(
        fault=fault,
        times=1,
        held="ended after cluster.deadline with the reason and its place; begun again on a fresh process; whole",
        lost="its time",
    )


if __name__ == "__main__":
    show(faults())
