"""Callbacks of running sweeps: protocols that the display and the MLflow tracker implement."""

from collections.abc import Sequence
from typing import Protocol

from sweep.records import Record


class Watcher(Protocol):
    """Listener to the trials of one sweep, as the live table and the MLflow tracker are."""

    def note(self, record: Record) -> None:
        """Handle a trial that has started, finished another epoch, or ended and been committed to the study."""


class SweepView(Watcher, Protocol):
    """Display of one sweep."""

    def keep(self, records: Sequence[Record]) -> None:
        """Handle the trials that ran before the sweep was resumed."""


class View(Protocol):
    """Display of all sweeps that run side by side."""

    def of(self, name: str) -> SweepView:
        """Return the display of the sweep with this name."""

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Handle progress of a preparation stage: `done` of `total` steps."""

    def tick(self) -> None:
        """Handle one step of the event loop; called several times a second."""
