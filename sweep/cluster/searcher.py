"""The searcher: Ray Tune asks it for trials, of one sweep or of several, and tells it what becomes of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray.tune.search import Searcher

from sweep.callbacks import Watcher
from sweep.errors import RAN_OUT
from sweep.records import Phase, Record, now
from sweep.search.study import Ledger, Task


@dataclass(frozen=True, kw_only=True)
class Search:
    """One sweep's search under way.

    Attributes:
        ledger: where its trials are kept.
        tasks: what is still to be run; None while there is nothing to run yet.
        watchers: who is told.
        run_id_of: gives a trial's MLflow run.
        retries: how often a task is begun again whose process died.
        deadline: hours after which a trial ends its own process; None: no limit.
        again: tasks that are to be begun again.
        deaths: how often a process died over a task, by phase and index.
    """

    ledger: Ledger
    tasks: Iterator[Task | None]
    watchers: Sequence[Watcher]
    run_id_of: Callable[[Record], str]
    retries: int
    deadline: float | None
    again: list[Task] = field(default_factory=list)
    deaths: Counter[tuple[Phase, int]] = field(default_factory=Counter)

    def next(self) -> Task | None:
        """The next task, None while there is nothing to run yet.

        Raises:
            StopIteration: there will be none.
        """
        return self.again.pop(0) if self.again else next(self.tasks)

    def start(self, task: Task) -> Record:
        """Open an attempt at the task."""
        record = self.ledger.ask(task)
        self.note(record)
        return record

    def note(self, record: Record) -> None:
        """Tell the watchers what is new of a trial."""
        for watcher in self.watchers:
            watcher.note(record)

    def stop(self, record: Record) -> None:
        """Close the attempt before its trial is over: it lags."""
        self.note(record)
        reason = f"after epoch {record.curve[-1]['epoch']:.0f} others had forgotten more"
        self.end(replace(record, state="pruned", reason=reason))

    def died(self, record: Record, reason: str) -> None:
        """Close an attempt whose process died; its task is begun again, unless it did so too often.

        Tune's own retries are not used: it may count the loss of a node twice, and fail a trial that did nothing wrong.
        """
        self.end(replace(record, state="failed", reason=self._late(record, reason) + reason))
        self.deaths[record.phase, record.index] += 1
        if self.deaths[record.phase, record.index] <= self.retries:
            task = Task(phase=record.phase, index=record.index, seed=record.seed, setting=record.setting)
            self.again.append(task)

    def _late(self, record: Record, reason: str) -> str:
        """How the reason begins where the trial's process ended itself because of the deadline; else nothing."""
        if self.deadline is None or now() - record.started < 3600 * self.deadline or reason.startswith(RAN_OUT):
            return ""
        return f"it ran longer than cluster.deadline = {self.deadline:g} hours: "

    def end(self, record: Record) -> None:
        """Close the attempt, durably."""
        self.note(self.ledger.end(replace(record, run_id=self.run_id_of(record))))


class StudySearcher(Searcher):
    """Ray Tune's view of the ledgers: hands out trials, keeps what comes back."""

    def __init__(self, searches: Sequence[Search], *, why: Callable[[str], str]) -> None:
        """Hand out the trials of the searches; `why` says what broke the Tune trial of an id."""
        super().__init__()
        self._searches = searches
        self._why = why
        self._live: dict[str, tuple[int, Record]] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial's record and the place of its sweep, None while there is nothing to run yet, or FINISHED."""
        waiting = bool(self._live)  # whose process dies may be begun again
        for place in self._by_need():
            try:
                task = self._searches[place].next()
            except StopIteration:
                continue
            if task is not None:
                record = self._searches[place].start(task)
                self._live[trial_id] = place, record
                return {"record": record, "sweep": place}
            waiting = True
        return None if waiting else self.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep what the worker reports; its last report closes the attempt before anything else is asked."""
        record: Record = result["record"]
        if trial_id not in self._live:  # Tune repeats the last report when the trial's function returns.
            return
        place, _ = self._live[trial_id]
        if record.state == "running":
            self._live[trial_id] = place, record
            self._searches[place].note(record)
        else:
            del self._live[trial_id]
            self._searches[place].end(record)

    def stops(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Whether Tune shall stop the trial here; it asks this before it tells the result."""
        record: Record = result["record"]
        if trial_id not in self._live or record.state != "running":
            return False
        place, _ = self._live[trial_id]
        lags = self._searches[place].ledger.lags(record)
        if lags:
            del self._live[trial_id]
            self._searches[place].stop(record)
        return lags

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close an attempt that ended without a last report: its process died."""
        if trial_id in self._live:
            place, record = self._live.pop(trial_id)
            self._searches[place].died(record, self._why(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for a restore of its own, which this sweep never uses."""
        return {}

    def _by_need(self) -> list[int]:
        """The sweeps, that with the fewest trials under way first.

        Few workers so run a sweep after the other, each sampler knowing all that came before; many workers spread over
        all sweeps, and none waits for the last trials of one.
        """
        live = [place for place, _ in self._live.values()]
        return sorted(range(len(self._searches)), key=live.count)
