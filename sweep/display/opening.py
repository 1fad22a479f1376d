"""Choose the display: a live board on a terminal, plain lines elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from sweep.callbacks import SweepsDisplay
from sweep.display.board import Board, LiveDisplay
from sweep.display.lines import TextDisplay
from sweep.plan.sweep_plan import SweepPlan

REDRAWS_PER_S = 4
"""Drawings of the board a second."""


@contextmanager
def open_display(plans: Sequence[SweepPlan]) -> Iterator[SweepsDisplay]:
    """Open the display of the sweeps."""
    console = Console()
    if not console.is_terminal:
        yield TextDisplay(console, plans)
        return
    board = Board(plans)
    with Live(board, console=console, refresh_per_second=REDRAWS_PER_S) as live:
        try:
            yield LiveDisplay(board, live)
        finally:
            board.close()
