"""Memory that ran out: PyTorch, CUDA and Python say it in many ways, and the user is told it in one."""

from collections.abc import Iterator
from contextlib import contextmanager

from sweep.errors import RAN_OUT

SAID = ("out of memory", "allocate memory", "bad_alloc", "ALLOC_FAILED")
"""What is in the errors of CUDA, of PyTorch on a CPU and of the system, of C++, of cuBLAS."""
LESS = "a smaller train.tokens, train.checkpointing=true or train.precision=kahan takes less"
LONGEST = 200
"""Characters of what was said."""


@contextmanager
def in_words() -> Iterator[None]:
    """Raise whatever says that memory ran out as a MemoryError of one line, which says what helps.

    Raises:
        MemoryError: as it says.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0]
        if not isinstance(error, MemoryError) and not any(words in said for words in SAID):
            raise
        told = f" ({said[:LONGEST]})" if said else ""
        raise MemoryError(f"{RAN_OUT}{told}: {LESS}") from error
