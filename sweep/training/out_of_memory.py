"""Translate the various out-of-memory errors of PyTorch, CUDA and Python into one MemoryError with one message."""

from collections.abc import Iterator
from contextlib import contextmanager

from sweep.errors import OUT_OF_MEMORY_REASON

OUT_OF_MEMORY_PHRASES = ("out of memory", "allocate memory", "bad_alloc", "ALLOC_FAILED")
"""Phrases in the errors of CUDA; of PyTorch on a CPU and of the system; of C++; of cuBLAS."""
MEMORY_SAVING_HINT = "a smaller train.tokens, train.checkpointing=true or train.precision=kahan takes less"
MAX_MESSAGE_CHARS = 200
"""Characters of the original message that are kept."""


@contextmanager
def translate_out_of_memory() -> Iterator[None]:
    """Raise any error that reports exhausted memory as a MemoryError of one line that names a remedy.

    Raises:
        MemoryError: memory ran out.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0]
        if not isinstance(error, MemoryError) and not any(words in said for words in OUT_OF_MEMORY_PHRASES):
            raise
        told = f" ({said[:MAX_MESSAGE_CHARS]})" if said else ""
        raise MemoryError(f"{OUT_OF_MEMORY_REASON}{told}: {MEMORY_SAVING_HINT}") from error
