"""How a process ends itself when its trial hangs, and what is told of one that died."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import ROOT
from sweep.deaths import LONGEST, OURS, ended_after, stack_of, why

HANGS = """
import re, sys, time
from pathlib import Path
from sweep.deaths import ended_after

def grow():
    {act}

with ended_after(1 / 3600, Path(sys.argv[1])):
    grow()
"""
"""A process that ends itself after a second."""
LOCKED = 're.match(r"(a+)+$", "a" * 60 + "b")'
RAY = """Failure # 1
The actor died unexpectedly before finishing this task.
\tpid: 8822
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR
"""
"""What Ray says of a process that was killed."""


LINGERS = """
import sys, time
from pathlib import Path
from sweep.deaths import told_after, why

def traced():
    while not stack.stat().st_size:
        time.sleep(0.1)
    print(why("", stack))

stack = Path(sys.argv[1])
with told_after(1e-9, stack):
    traced()
"""
"""A process that is late, and lives to read what it said after a second."""
STACK = """Thread 0x1 (most recent call first):
  File "/x/lib/python3.11/threading.py", line 1 in wait

Thread 0x2 (most recent call first):
  File "/x/lib/python3.11/site-packages/torch/distributed/c10d.py", line 2 in all_reduce
  File "{place}", line 3 in step
  File "/x/sweep/processes.py", line 4 in traced
"""
"""What a process leaves that waits for another, or hangs."""


def hung(stack: Path, act: str) -> "subprocess.CompletedProcess[str]":
    """The process, once it has ended."""
    command = [sys.executable, "-c", HANGS.format(act=act), str(stack)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize("act", ["time.sleep(50)", LOCKED], ids=["sleeps", "keeps the lock"])
def test_a_process_that_hangs_ends_itself(tmp_path: Path, act: str) -> None:
    """Also one that never gives Python's lock back; it says where it was: in its seventh line."""
    stack = stack_of(tmp_path / "trial")
    ended = hung(stack, act)
    assert ended.returncode == 1, ended.stderr
    assert why(RAY, stack) == "it was at <string>, line 7"


def test_a_process_that_is_late_says_where_it_is(tmp_path: Path) -> None:
    """It goes on, and what it said stays: in its eighth line it slept."""
    stack = tmp_path / "trial.stack"
    command = [sys.executable, "-c", LINGERS, str(stack)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    assert (ended.stdout, ended.returncode) == ("it was at <string>, line 8\n", 0), ended.stderr
    assert why("", stack) == "it was at <string>, line 8"


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_that_which_hangs_is_named(tmp_path: Path, rank: int) -> None:
    """And not those that wait for it, in the sweep's own code; nor the worker, which waits for them."""
    places = [f"{OURS}/unlearning/parallel.py"] * 3
    places[rank] = "mine.py"
    for name, place in zip(("trial.0", "trial.1", "trial"), places, strict=True):
        (tmp_path / f"{name}.stack").write_text(STACK.format(place=place))
    (tmp_path / "trial2.0.stack").write_text(STACK.format(place="another.py"))
    assert why("", tmp_path / "trial.stack") == "it was at mine.py, line 3"


def test_on_another_machine_it_says_so_in_its_log(tmp_path: Path) -> None:
    """There the trial's folder is not: the stack goes to stderr."""
    ended = hung(tmp_path / "gone" / "trial.stack", "time.sleep(50)")
    assert ended.returncode == 1
    assert " in grow\n" in ended.stderr


@pytest.mark.parametrize("hours", [None, 1.0])
def test_what_ends_in_time_leaves_nothing(tmp_path: Path, hours: float | None) -> None:
    """No process ends, and no file stays."""
    with ended_after(hours, stack_of(tmp_path / "trial")):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (RAY, "its process died: its worker process has died. Worker exit type: SYSTEM_ERROR"),
        ("ray::train()\n  File x\nMemoryError: memory ran out (x): less\n", "memory ran out (x): less"),
        ("ray::train()\nsweep.trial.ProcessDiedError: rank 1\nis gone\n", "its process died: rank 1 is gone"),
        (
            "2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, ID: 73)"
            " was 7.0GB used / 23.5GB limit (0.297)\nOOM kill reason: Memory usage 7505096704B exceeded\n",
            "its process died: memory ran out (the node's, of which 7.0GB of 23.5GB were taken: Ray ended the process)",
        ),
        ("without a word", "its process died: without a word"),
        ("x" * 1000, f"its process died: {'x' * LONGEST}"),
    ],
)
def test_a_death_is_one_line(tmp_path: Path, said: str, told: str) -> None:
    """What matters of what Ray says, whoever's words they are."""
    assert why(said, tmp_path / "none.stack") == told
