"""Let a trial run out of memory: it is restarted in a fresh process, and the sweep goes on.

PYTHONPATH=tests python -m faults.memory
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import SWEEP, Outcome, Start, attempts, show, start, whole
from faults.strange import SHORT, strange

ROOM = 6 * 2**30
"""Bytes that a sweep may take beyond the memory in use at its start, before Ray's monitor kills a worker."""
ENDED = "its process died: memory ran out on the node ("
"""First words of the reason of a trial that Ray's monitor has killed."""
ACTS = {
    "PyTorch's allocator refuses": ("torch.empty(2**60)", "memory ran out ("),
    "Python's does": ("bytearray(2**62)", "memory ran out"),
    "a GPU's does": ('raise torch.OutOfMemoryError("CUDA out of memory.\\nTried")', "memory ran out (CUDA out of"),
    "the system kills the process": ("os.kill(os.getpid(), 9)", "its process died: "),
    "Ray's monitor does": (f"_ = b'x' * {2 * ROOM}; time.sleep(60)", ENDED),
}
"""The statement that is run, and the first words of the reason, by culprit."""
HELPS = ("train.tokens", "train.checkpointing", "train.precision")


def watched() -> dict[str, str]:
    """Return variables with which Ray's monitor kills a worker once `ROOM` more bytes are in use than now."""
    lines = [line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()]
    memory = {name: int(amount) * 1024 for name, amount, *_ in lines}
    limit = 1 - (memory["MemAvailable:"] - ROOM) / memory["MemTotal:"]
    return {"RAY_memory_usage_threshold": f"{limit:.3f}", "RAY_memory_monitor_refresh_ms": "250"}


def ran_out(here: Path, words: Sequence[str], says: str, times: int = 1, begin: Start = start) -> None:
    """Let the first trial run out of memory in its first attempts: it is retried, or fails for good; others go on.

    Args:
        here: the folder in which the command runs.
        words: more arguments of the command.
        says: first words of the trial's reason.
        times: number of attempts that fail.
        begin: starts the command.
    """
    command = begin(here, *SWEEP, *SHORT, *words, **watched())
    assert command.end() == 0, command.said()
    own = [one for one in attempts(here)["search"] if one.index == 0]
    assert [one.state for one in own] == ["failed", "finished" if times == 1 else "failed"], own
    for failed in own[:times]:
        assert failed.reason.startswith(says), failed
        assert not says.startswith("memory") or all(key in failed.reason for key in HELPS), failed
    whole(here, failed=times - 1)


def faults() -> Iterator[Outcome]:
    """Inject each fault once, and one of them twice."""
    for fault, (act, says) in ACTS.items():
        for times in (1, 2) if fault.startswith("PyTorch") else (1,):
            with TemporaryDirectory(prefix="faults-") as folder:
                ran_out(Path(folder), strange(Path(folder), act, times), says, times)
            yield Outcome(
                fault=f"memory runs out in a trial: {fault}",
                times=times,
                held="failed with the reason and what helps; begun again once, on a fresh process; the others finished",
                lost="its time" if times == 1 else "that trial, after its retry",
            )


if __name__ == "__main__":
    show(faults())
