"""Searches for the tests that run toy trials on a real Ray: watched by a view that remembers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from support.trials import PAPER
from sweep.callbacks import Watcher
from sweep.cluster.searcher import Search, StudySearcher
from sweep.config.schema import SweepConfig
from sweep.records import Record
from sweep.search.queue import agenda
from sweep.search.study import Ledger
from sweep.trial.outcomes import Run

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


def search(config: SweepConfig, ledger: Ledger, watcher: Watcher) -> Search:
    """A sweep's search, watched by one who is told all."""
    return Search(
        ledger=ledger,
        tasks=agenda(config, PAPER, ledger),
        watchers=[watcher],
        run_id_of=lambda record: f"run {record.index}",
        retries=1,
        deadline=config.cluster.deadline,
    )


def opened(config: SweepConfig) -> Ledger:
    """The ledger of a sweep, whose folder is made where it is missing."""
    (config.storage / NAME).mkdir(parents=True, exist_ok=True)
    return Ledger(config, NAME)


def swept(
    sweeps: Sequence[tuple[SweepConfig, Run]], at_once: int = 2, beat: Callable[[], None] = lambda: None
) -> list[Seen]:
    """Run what is left of sweeps of one cluster side by side, as `schedule.run` does, without MLflow.

    Args:
        sweeps: each with the function of its trials.
        at_once: how many trials.
        beat: is called now and then.
    """
    from sweep.cluster.tuner import Beat, fit

    seen, step = [Seen() for _ in sweeps], Beat(beat)
    searches = [search(config, opened(config), one) for (config, _), one in zip(sweeps, seen, strict=True)]
    runs = [run for _, run in sweeps]
    fit(sweeps[0][0].cluster, runs, StudySearcher(searches, why=step.why), at_once, step)
    return seen
