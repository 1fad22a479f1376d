"""Searches for the tests that run toy trials on a real Ray: watched by a view that remembers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from support.trials import PAPER
from sweep.agenda import agenda
from sweep.config import SweepConfig
from sweep.ledger import Ledger
from sweep.record import Record
from sweep.search import Search

NAME = "toy"


@dataclass
class Seen:
    """A view that remembers."""

    progress: list[tuple[str, int, int]] = field(default_factory=list)
    points: list[tuple[int, float]] = field(default_factory=list)
    ended: list[Record] = field(default_factory=list)

    def of(self, name: str) -> "Seen":
        """The same for every sweep."""
        return self

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Remember it."""
        self.progress.append((stage, done, total))

    def keep(self, records: Sequence[Record]) -> None:
        """Nothing to remember."""

    def note(self, record: Record) -> None:
        """Remember the new point, or the end."""
        if record.state != "running":
            self.ended.append(record)
        elif record.curve:
            self.points.append((record.index, record.curve[-1]["epoch"]))

    def tick(self) -> None:
        """Nothing to remember."""


def search(config: SweepConfig, ledger: Ledger, seen: Seen) -> Search:
    """A sweep's search, watched by `seen`."""
    return Search(
        ledger=ledger,
        tasks=agenda(config, PAPER, ledger),
        watchers=[seen],
        run_id_of=lambda record: f"run {record.index}",
        retries=1,
        deadline=config.cluster.deadline,
    )
