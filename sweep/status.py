"""Status of a command that starts: a line that says what it does until the display of its sweeps opens.

Whatever takes long to import is imported after the first word.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

QUIET_OPTIONS = {"--dry-run", "--cfg"}
"""Options of a command that starts nothing: its output is what was asked for, and nothing else."""

_spinner: "Progress | None" = None
_is_command = False


def enable_early_words() -> None:
    """Let `say_early` print: this process is a command, and none whose output is a configuration."""
    global _is_command
    _is_command = not QUIET_OPTIONS & {word.partition("=")[0] for word in sys.argv}


def say_on_terminal(text: str) -> None:
    """Say what the command does if there is a terminal, where it leaves no trace."""
    if sys.stdout.isatty():
        say(text)


def say_early(text: str) -> None:
    """Say what the command does before all that it was told has been found right; in a pipe, only a command does."""
    if _is_command or sys.stdout.isatty():
        say(text)


def say(text: str) -> None:
    """Say what the command does: on a terminal beside a spinner with the time since then, elsewhere as a line."""
    if sys.stdout.isatty():
        end_status()
        _start_spinner(text)
    else:
        print(text, flush=True)


@contextmanager
def show_status(text: str) -> Iterator[None]:
    """Say what the command does; at the end of the block no spinner is left."""
    say(text)
    try:
        yield
    finally:
        end_status()


def end_status() -> None:
    """Remove the spinner, if there is one."""
    global _spinner
    if _spinner is not None:
        _spinner.stop()
    _spinner = None


def _start_spinner(text: str) -> None:
    global _spinner
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    _spinner = Progress(*columns, console=Console(), transient=True)
    _spinner.add_task(text)
    _spinner.start()
