"""What is called while sweeps run: the display and the tracker implement these protocols."""

from collections.abc import Sequence
from typing import Protocol

from sweep.records import Record


class Watcher(Protocol):
    """Who is told what happens to the trials of a sweep: the table, the tracking."""

    def note(self, record: Record) -> None:
        """The trial was given to a worker, has a new point on its curve, or is over and in the ledger."""


class SweepView(Watcher, Protocol):
    """What shows one sweep."""

    def keep(self, records: Sequence[Record]) -> None:
        """These trials were run before the sweep was resumed."""


class View(Protocol):
    """What shows the sweeps that run side by side."""

    def of(self, name: str) -> SweepView:
        """What shows the sweep of this name."""

    def prepared(self, stage: str, done: int, total: int) -> None:
        """A stage of the preparation went on."""

    def tick(self) -> None:
        """Some time went by."""
