"""The searcher: Ray Tune asks it for trials and tells it what becomes of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ray.tune.search import Searcher

from sweep.ledger import Ledger, Task
from sweep.record import Record


class Watcher(Protocol):
    """Who is told what happens to trials: the table, the tracking."""

    def trial_started(self, record: Record) -> None:
        """The trial was given to a worker."""

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """The trial has a new point on its curve."""

    def trial_ended(self, record: Record) -> None:
        """The trial is over, and in the ledger."""


class StudySearcher(Searcher):
    """Ray Tune's view of the ledger: hands out tasks, keeps what comes back, tells the watchers."""

    def __init__(
        self,
        ledger: Ledger,
        tasks: Iterator[Task | None],
        watchers: Sequence[Watcher],
        *,
        run_id_of: Callable[[Record], str],
        why: Callable[[str], str],
    ) -> None:
        """Hand out `tasks`; `run_id_of` gives a trial's MLflow run, `why` what broke the Tune trial of an id."""
        super().__init__()
        self._run_id_of = run_id_of
        self._why = why
        self._ledger = ledger
        self._tasks = tasks
        self._watchers = watchers
        self._live: dict[str, Record] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial's record, None while there is nothing to run yet, or FINISHED."""
        task = next(self._tasks, self.FINISHED)
        if not isinstance(task, Task):
            return task
        record = self._live[trial_id] = self._ledger.ask(task)
        for watcher in self._watchers:
            watcher.trial_started(record)
        return {"record": record}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep what the worker reports; its last report closes the attempt before anything else is asked."""
        record: Record = result["record"]
        if trial_id not in self._live:  # Tune repeats the last report when the trial's function returns.
            return
        if record.state == "running":
            for watcher in self._watchers:
                watcher.epoch(record, record.curve[-1])
        else:
            self._end(trial_id, record)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close an attempt that ended without a last report: its process died."""
        if trial_id in self._live:
            self._end(trial_id, replace(self._live[trial_id], state="failed", reason=self._why(trial_id)))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for a restore of its own, which this sweep never uses."""
        return {}

    def _end(self, trial_id: str, record: Record) -> None:
        del self._live[trial_id]
        record = self._ledger.end(replace(record, run_id=self._run_id_of(record)))
        for watcher in self._watchers:
            watcher.trial_ended(record)
