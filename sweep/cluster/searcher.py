"""Give Ray Tune the next trials of one or several sweeps, and write their results to the studies."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray.tune.search import Searcher

from sweep.callbacks import TrialListener
from sweep.errors import OUT_OF_MEMORY_REASON
from sweep.records import Phase, TrialRecord, now
from sweep.search.study import SweepStudy, TrialRequest


@dataclass(frozen=True, kw_only=True)
class Search:
    """The search of one sweep while it runs.

    Attributes:
        study: persistent record of the sweep's trials.
        requests: the trials still to be run; yields None while the next one is not known yet.
        listeners: are called with every change of a trial.
        run_id_of: returns the id of a trial's MLflow run.
        retries: how often a trial is restarted after its process died.
        deadline: hours after which the process of a trial exits by itself; None: no limit.
        retry_queue: trials to be restarted, which come before new ones.
        n_deaths: the number of process deaths of each trial, by phase and index.
    """

    study: SweepStudy
    requests: Iterator[TrialRequest | None]
    listeners: Sequence[TrialListener]
    run_id_of: Callable[[TrialRecord], str]
    retries: int
    deadline: float | None
    retry_queue: list[TrialRequest] = field(default_factory=list)
    n_deaths: Counter[tuple[Phase, int]] = field(default_factory=Counter)

    def next_request(self) -> TrialRequest | None:
        """Return the next request, None while it is not known yet.

        Raises:
            StopIteration: no request is left.
        """
        return self.retry_queue.pop(0) if self.retry_queue else next(self.requests)

    def open_attempt(self, task: TrialRequest) -> TrialRecord:
        """Open an attempt at the requested trial, and notify the listeners."""
        record = self.study.open_attempt(task)
        self.notify_listeners(record)
        return record

    def notify_listeners(self, record: TrialRecord) -> None:
        """Pass the new state of a trial to every listener."""
        for listener in self.listeners:
            listener.on_trial_update(record)

    def prune_attempt(self, record: TrialRecord) -> None:
        """Close the attempt of a trial that ASHA stops early."""
        self.notify_listeners(record)
        reason = f"pruned by ASHA after epoch {record.curve[-1]['epoch']:.0f}"
        self.close_attempt(replace(record, state="pruned", reason=reason))

    def fail_attempt(self, record: TrialRecord, reason: str) -> None:
        """Close an attempt whose process died, and queue its trial again unless it has used up its retries.

        Tune's own retries are not used: Tune may count the loss of a node twice, and so fail a trial without fault.
        """
        self.close_attempt(replace(record, state="failed", reason=self._deadline_prefix(record, reason) + reason))
        self.n_deaths[record.phase, record.index] += 1
        if self.n_deaths[record.phase, record.index] <= self.retries:
            task = TrialRequest(phase=record.phase, index=record.index, seed=record.seed, setting=record.setting)
            self.retry_queue.append(task)

    def _deadline_prefix(self, record: TrialRecord, reason: str) -> str:
        """Return the first words of the reason if the process exited at the deadline, else an empty string."""
        if (
            self.deadline is None
            or now() - record.started < 3600 * self.deadline
            or reason.startswith(OUT_OF_MEMORY_REASON)
        ):
            return ""
        return f"it ran longer than cluster.deadline = {self.deadline:g} hours: "

    def close_attempt(self, record: TrialRecord) -> None:
        """Commit the closed attempt to the study with its MLflow run, and notify the listeners."""
        self.notify_listeners(self.study.close_attempt(replace(record, run_id=self.run_id_of(record))))


class StudySearcher(Searcher):
    """Ray Tune's interface to the studies: suggests trials, and stores their results."""

    def __init__(self, searches: Sequence[Search], *, explain_failure: Callable[[str], str]) -> None:
        """Serve these searches; `explain_failure` maps the id of a Tune trial to the reason of its failure."""
        super().__init__()
        self._searches = searches
        self._explain_failure = explain_failure
        self._running: dict[str, tuple[int, TrialRecord]] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial, None while there is none to run yet, or FINISHED.

        The config holds the trial's `record` and the index of its `sweep`.
        """
        waiting = bool(self._running)  # a running trial whose process dies is queued again
        for place in self._order_by_need():
            try:
                task = self._searches[place].next_request()
            except StopIteration:
                continue
            if task is not None:
                record = self._searches[place].open_attempt(task)
                self._running[trial_id] = place, record
                return {"record": record, "sweep": place}
            waiting = True
        return None if waiting else self.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Store a report of the worker; its last one closes the attempt before Tune asks for the next trial."""
        record: TrialRecord = result["record"]
        if trial_id not in self._running:  # Tune repeats the last report when the trial's function returns.
            return
        place, _ = self._running[trial_id]
        if record.state == "running":
            self._running[trial_id] = place, replace(record, progress=None)
            self._searches[place].notify_listeners(record)
        else:
            del self._running[trial_id]
            self._searches[place].close_attempt(record)

    def should_stop(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Return True if ASHA prunes the trial after this epoch; Tune calls this before `on_trial_result`."""
        record: TrialRecord = result["record"]
        if trial_id not in self._running or record.state != "running" or record.progress:
            return False
        place, _ = self._running[trial_id]
        lags = self._searches[place].study.should_prune(record)
        if lags:
            del self._running[trial_id]
            self._searches[place].prune_attempt(record)
        return lags

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close an attempt without a last report, whose process must have died."""
        if trial_id in self._running:
            place, record = self._running.pop(trial_id)
            self._searches[place].fail_attempt(record, self._explain_failure(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study is the state."""

    def __getstate__(self) -> dict[str, Any]:
        """Return no state: Tune pickles its searcher for Tune's own restore, which sweeps never use."""
        return {}

    def _order_by_need(self) -> list[int]:
        """Return the indices of the sweeps, the one with the fewest running trials first.

        Few workers then run one sweep after the other, so that each sampler knows all earlier results. Many workers
        spread over all sweeps, and none waits for the last trials of a sweep.
        """
        live = [place for place, _ in self._running.values()]
        return sorted(range(len(self._searches)), key=live.count)
