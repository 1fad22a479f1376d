"""Deaths of processes: how one ends itself when its trial hangs, and what the user is told of one that died."""

import faulthandler
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sweep.errors import RAN_OUT

STDERR = 2
"""The file descriptor of stderr, whatever Python's own name for it was put to."""
LONGEST = 400
"""Characters of what Ray says of a process that died."""
LOW = re.compile(r"node running low on memory.*? was (\S+) used / (\S+) limit", re.DOTALL)
"""What Ray's memory monitor says, over many lines."""
OURS = str(Path(__file__).parents[1])
"""Where of several processes those are that only wait for the one that hangs."""


def stack_of(folder: str | Path) -> Path:
    """Where the process of a trial leaves its stack when it hangs; `folder` is the trial's, of Ray Tune."""
    return Path(folder).with_suffix(".stack")


@contextmanager
def ended_after(hours: float | None, stack: Path) -> Iterator[None]:
    """End the process if the block takes longer, even where it never gives Python's lock back.

    Args:
        hours: how long; None: no limit.
        stack: where all threads then say where they are, if its folder is there: on another machine than the driver's
            it is not, and they say it on stderr, which is in Ray's log of the process.
    """
    with nullcontext() if hours is None else _said_after(3600 * hours, stack, ends=True):
        yield


@contextmanager
def told_after(hours: float | None, stack: Path) -> Iterator[None]:
    """Say so where the block is if it takes longer, and let it go on: another process of its trial ends them all."""
    with nullcontext() if hours is None else _said_after(max(3600 * hours, 1.0), stack, ends=False):
        yield


@contextmanager
def _said_after(seconds: float, stack: Path, *, ends: bool) -> Iterator[None]:
    with stack.open("w") if stack.parent.is_dir() else nullcontext(STDERR) as file:
        faulthandler.dump_traceback_later(seconds, exit=ends, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            if stack.is_file() and not stack.stat().st_size:  # else it is late, and Ray may be ending it
                stack.unlink()


def why(said: str, stack: Path) -> str:
    """Why the process of a trial died, in one line.

    Args:
        said: what Ray says of it.
        stack: where it left its stack, if it hung; beside it are those of several processes.
    """
    left = [*sorted(stack.parent.glob(f"{stack.stem}.*.stack")), *([stack] if stack.is_file() else [])]
    if places := [place for file in left if (place := hung_at(file.read_text(encoding="utf-8")))]:
        return f"it was at {min(places, key=lambda place: place.startswith(OURS))}"
    _, ran_out, memory = said.rpartition("MemoryError: ")
    return " ".join(memory.split()) if ran_out else f"its process died: {told(said)}"


def told(said: str) -> str:
    """What Ray says of a process that died, in one line."""
    if low := LOW.search(said):
        return f"{RAN_OUT} (the node's, of which {low[1]} of {low[2]} were taken: Ray ended the process)"
    return " ".join(re.split(r"ProcessDiedError: |is dead because ", said)[-1].split())[:LONGEST]


def hung_at(stack: str) -> str:
    """The last place of a trial outside the libraries in the stack that its process left; empty where it left none."""
    threads = stack.split("\n\n")
    own = next((thread for thread in threads if re.search(r" in (grow|traced)\n", thread)), "")
    places = re.findall(r'File "(.+)", line (\d+)', own)
    others = [place for place in places if "/lib/python3." not in place[0]]
    return "{}, line {}".format(*(others or places)[0]) if places else ""
