"""How a process ends itself when its trial hangs, and says where it was."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import ROOT
from sweep.cluster.failures import failure_reason, stack_path

HANGS = """
import re, sys, time
from pathlib import Path
from sweep.cluster.failures import exit_at_deadline

def run_trial():
    {act}

with exit_at_deadline(1 / 3600, Path(sys.argv[1])):
    run_trial()
"""
"""A process that ends itself after a second."""
LOCKED = 're.match(r"(a+)+$", "a" * 60 + "b")'
LINGERS = """
import sys, time
from pathlib import Path
from sweep.cluster.failures import dump_stack_at_deadline, failure_reason

def run_rank():
    while not stack.stat().st_size:
        time.sleep(0.1)
    print(failure_reason("", stack))

stack = Path(sys.argv[1])
with dump_stack_at_deadline(1e-9, stack):
    run_rank()
"""
"""A process that is late, and lives to read what it said after a second."""


def hung(stack: Path, act: str) -> "subprocess.CompletedProcess[str]":
    """The process, once it has ended."""
    command = [sys.executable, "-c", HANGS.format(act=act), str(stack)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603


@pytest.mark.parametrize("act", ["time.sleep(50)", LOCKED], ids=["sleeps", "keeps the lock"])
def test_a_process_that_hangs_ends_itself(tmp_path: Path, act: str) -> None:
    """Also one that never gives Python's lock back; it says where it was: in its seventh line."""
    stack = stack_path(tmp_path / "trial")
    ended = hung(stack, act)
    assert ended.returncode == 1, ended.stderr
    assert failure_reason("its process died", stack) == "it was at <string>, line 7"


def test_a_process_that_is_late_says_where_it_is(tmp_path: Path) -> None:
    """It goes on, and what it said stays: in its eighth line it slept."""
    stack = tmp_path / "trial.stack"
    command = [sys.executable, "-c", LINGERS, str(stack)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    assert (ended.stdout, ended.returncode) == ("it was at <string>, line 8\n", 0), ended.stderr
    assert failure_reason("", stack) == "it was at <string>, line 8"


def test_on_another_machine_it_says_so_in_its_log(tmp_path: Path) -> None:
    """There the trial's folder is not: the stack goes to stderr."""
    ended = hung(tmp_path / "gone" / "trial.stack", "time.sleep(50)")
    assert ended.returncode == 1
    assert " in run_trial\n" in ended.stderr
