"""What is told of a trial whose process died, or ended itself; test_hung_processes.py has real ones."""

from pathlib import Path

import pytest

from sweep.cluster.failures import MAX_RAY_ERROR_CHARS, SWEEP_PACKAGE_DIR, exit_at_deadline, failure_reason, stack_path

RAY = """Failure # 1
The actor died unexpectedly before finishing this task.
\tpid: 8822
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR
"""
"""What Ray says of a process that was killed."""
STACK = """Thread 0x1 (most recent call first):
  File "/x/lib/python3.11/threading.py", line 1 in wait

Thread 0x2 (most recent call first):
  File "/x/lib/python3.11/site-packages/torch/distributed/c10d.py", line 2 in all_reduce
  File "{place}", line 3 in step
  File "/x/sweep/cluster/process_group.py", line 4 in run_rank
"""
"""What a process leaves that waits for another, or hangs."""


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_that_which_hangs_is_named(tmp_path: Path, rank: int) -> None:
    """And not those that wait for it, in the sweep's own code; nor the worker, which waits for them."""
    places = [f"{SWEEP_PACKAGE_DIR}/training/distributed.py"] * 3
    places[rank] = "mine.py"
    for name, place in zip(("trial.0", "trial.1", "trial"), places, strict=True):
        (tmp_path / f"{name}.stack").write_text(STACK.format(place=place))
    (tmp_path / "trial2.0.stack").write_text(STACK.format(place="another.py"))
    assert failure_reason("", tmp_path / "trial.stack") == "it was at mine.py, line 3"


@pytest.mark.parametrize("hours", [None, 1.0])
def test_what_ends_in_time_leaves_nothing(tmp_path: Path, hours: float | None) -> None:
    """No process ends, and no file stays."""
    with exit_at_deadline(hours, stack_path(tmp_path / "trial")):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (RAY, "its process died: its worker process has died. Worker exit type: SYSTEM_ERROR"),
        ("ray::train()\n  File x\nMemoryError: memory ran out (x): less\n", "memory ran out (x): less"),
        ("ray::train()\nsweep.errors.ProcessDiedError: rank 1\nis gone\n", "its process died: rank 1 is gone"),
        (
            "2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, ID: 73)"
            " was 7.0GB used / 23.5GB limit (0.297)\nOOM kill reason: Memory usage 7505096704B exceeded\n",
            "its process died: memory ran out on the node (7.0GB of 23.5GB used): Ray ended the process",
        ),
        ("without a word", "its process died: without a word"),
        ("x" * 1000, f"its process died: {'x' * MAX_RAY_ERROR_CHARS}"),
    ],
)
def test_a_death_is_one_line(tmp_path: Path, said: str, told: str) -> None:
    """What matters of what Ray says, whoever's words they are."""
    assert failure_reason(said, tmp_path / "none.stack") == told
