"""Give memory that was freed back to the system, so that a worker does not grow from trial to trial."""

import ctypes


def return_freed_memory() -> None:
    """Give back what glibc keeps of freed memory; another C library, which has no `malloc_trim`, is left alone.

    Ray Tune runs each trial in a new thread, and glibc gives a thread an arena of its own, of whose freed memory no
    other arena can use any. Without this a worker grows by most of a trial's tensors with each trial.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
