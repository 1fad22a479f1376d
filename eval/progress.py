"""Progress of a measurement: a bar on a terminal, elsewhere a line every half minute, with the time that is left."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

INTERVAL_S = 30.0
"""Time in seconds between two lines."""

Group = TypeVar("Group")
Found = TypeVar("Found")


class PassCounter:
    """Map over the batches of pass after pass, and know how far the present one is.

    The number of passes is not known before: a model that has unlearned may generate without end.
    """

    def __init__(self, name: str) -> None:
        """Begin before the first pass of what has this name."""
        self.name = name
        self.n_passes = self.done = self.total = 0
        self.began = time.monotonic()

    def __call__(self, work: Callable[[Group], Found], groups: Sequence[Group], /) -> Iterator[Found]:
        """Yield the result of the work for each batch, as `map` does."""
        self.n_passes += 1
        self.done, self.total, self.began = 0, len(groups), time.monotonic()
        for group in groups:
            found = work(group)
            self.done += 1
            yield found

    @property
    def left_s(self) -> float | None:
        """Seconds that the present pass still takes at its pace; None before its first batch is done."""
        seconds = time.monotonic() - self.began
        return seconds / self.done * (self.total - self.done) if self.done else None

    def __str__(self) -> str:
        """Return name, pass, batches and the time that is left, in one line."""
        left = "" if self.left_s is None else f", {format_duration(self.left_s)} left"
        return f"{self.name}: pass {self.n_passes}, {self.done} of {self.total} batches{left}"


@contextmanager
def tell_progress(name: str) -> Iterator[PassCounter]:
    """Yield a counter of passes, whose state is shown on stderr until the block ends."""
    from rich.console import Console

    console, counter = Console(stderr=True), PassCounter(name)
    ended, bars = Event(), _open_bars(console)
    worker = Thread(
        target=_show_bar if bars else _print_lines, args=(counter, bars or console, ended), daemon=True, name="progress"
    )
    worker.start()
    try:
        yield counter
    finally:
        ended.set()
        worker.join()


def _open_bars(console: "Console") -> "Progress | None":
    """Return what draws a bar; None where there is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn

    if not console.is_terminal:
        return None
    return Progress(BarColumn(), TextColumn("{task.description}", markup=False), console=console, transient=True)


def _show_bar(counter: PassCounter, bars: "Progress", ended: Event) -> None:
    with bars:
        task = bars.add_task(str(counter), total=None)
        while not ended.wait(0.25):
            bars.update(task, description=str(counter), completed=counter.done, total=counter.total or None)


def _print_lines(counter: PassCounter, console: "Console", ended: Event) -> None:
    while not ended.wait(INTERVAL_S):
        console.print(str(counter), markup=False, highlight=False, soft_wrap=True)


def format_duration(seconds: float) -> str:
    """Format a duration in its two largest units: `1 h 4 min`, `3 min 20 s`, `7 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
