"""Stop processes whose trial hangs, and explain in one line why a process died."""

import faulthandler
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from sweep.errors import OUT_OF_MEMORY_REASON

STDERR_FD = 2
"""File descriptor of stderr; `sys.stderr` may have been replaced by something without one."""
MAX_RAY_ERROR_CHARS = 400
"""Length at which Ray's message about a dead process is cut."""
LOW_MEMORY_PATTERN = re.compile(r"node running low on memory.*? was (\S+) used / (\S+) limit", re.DOTALL)
"""Out-of-memory message of Ray's monitor, which spans many lines; groups: memory used, memory limit."""
SWEEP_PACKAGE_DIR = str(Path(__file__).parents[1])
"""Folder of this package: processes whose last stack frame is in it only wait for the one that hangs."""


def stack_path(folder: str | Path) -> Path:
    """Return the file for the stack dump of a trial that hangs; `folder` is the trial's folder of Ray Tune."""
    return Path(folder).with_suffix(".stack")


def exit_at_deadline(hours: float | None, stack: Path) -> AbstractContextManager[None]:
    """Dump all thread stacks and exit the process if the block exceeds the deadline, even if it holds the GIL.

    Args:
        hours: the deadline; None: no limit.
        stack: file for the stacks. If its folder is missing, as on another machine than the driver's, the stacks go to
            stderr, which Ray keeps in the log of the process.
    """
    return nullcontext() if hours is None else _dump_stack_after(3600 * hours, stack, exits=True)


def dump_stack_at_deadline(hours: float | None, stack: Path) -> AbstractContextManager[None]:
    """Dump all thread stacks as `exit_at_deadline` does, after a second at least, but go on: the worker exits."""
    return nullcontext() if hours is None else _dump_stack_after(max(3600 * hours, 1.0), stack, exits=False)


@contextmanager
def _dump_stack_after(seconds: float, stack: Path, *, exits: bool) -> Iterator[None]:
    with stack.open("w") if stack.parent.is_dir() else nullcontext(STDERR_FD) as file:
        faulthandler.dump_traceback_later(seconds, exit=exits, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            if stack.is_file() and not stack.stat().st_size:  # a dump stays: Ray may be killing the late process
                stack.unlink()


def failure_reason(ray_error: str, stack: Path) -> str:
    """Return in one line why the process of a trial died.

    Args:
        ray_error: Ray's error message.
        stack: file of the stack dump, which exists if the trial hung; dumps of several processes lie beside it.
    """
    left = [*sorted(stack.parent.glob(f"{stack.stem}.*.stack")), *([stack] if stack.is_file() else [])]
    if places := [place for file in left if (place := hang_location(file.read_text(encoding="utf-8")))]:
        return f"it was at {min(places, key=lambda place: place.startswith(SWEEP_PACKAGE_DIR))}"
    _, ran_out, memory = ray_error.rpartition("MemoryError: ")
    return " ".join(memory.split()) if ran_out else f"its process died: {summarize_ray_error(ray_error)}"


def summarize_ray_error(ray_error: str) -> str:
    """Shorten Ray's message about a dead process to one line of at most `MAX_RAY_ERROR_CHARS` characters."""
    if low := LOW_MEMORY_PATTERN.search(ray_error):
        return f"{OUT_OF_MEMORY_REASON} on the node ({low[1]} of {low[2]} used): Ray ended the process"
    return " ".join(re.split(r"ProcessDiedError: |is dead because ", ray_error)[-1].split())[:MAX_RAY_ERROR_CHARS]


def hang_location(stack: str) -> str:
    """Return the innermost place of a trial outside the libraries in a stack dump; empty if the dump shows no trial."""
    threads = stack.split("\n\n")
    own = next((thread for thread in threads if re.search(r" in (run_trial|run_rank)\n", thread)), "")
    places = re.findall(r'File "(.+)", line (\d+)', own)
    others = [place for place in places if "/lib/python3." not in place[0]]
    return "{}, line {}".format(*(others or places)[0]) if places else ""
