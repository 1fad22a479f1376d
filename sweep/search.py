"""The search: which trials a sweep still has to run, and the searcher that hands them to Ray Tune."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweep import space
from sweep.config import SweepConfig
from sweep.ledger import Ledger, Task
from sweep.record import Record, Setting

FINALISTS = 2
"""How many of the best settings are repeated on fresh seeds, beside the paper's."""


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


def agenda(config: SweepConfig, paper: Setting | None, ledger: Ledger) -> Iterator[Task | None]:
    """What is still to be run, in order; None while the finalists wait for the search's last trials.

    The paper's setting comes first where the space holds it. Its repeats need no result of the search, so they fill the
    time in which the last search trials run; then follow the best settings, all on the same fresh seeds.
    """
    yield from _searches(config, paper, ledger)
    papers = [] if paper is None else [paper]
    yield from _repeats(config, papers, 0, ledger)
    while ledger.running("search"):
        yield None
    yield from _repeats(config, best(ledger.records(), paper), len(papers), ledger)


def best(records: Sequence[Record], paper: Setting | None) -> list[Setting]:
    """The best distinct settings of the search, best first, without the paper's and without the diverged."""
    scored = [r for r in records if r.phase == "search" and r.state == "finished" and not r.reason]
    settings: list[Setting] = []
    for record in sorted(scored, key=lambda r: (r.score, r.index)):
        if record.setting != paper and record.setting not in settings:
            settings.append(record.setting)
    return settings[:FINALISTS]


def planned(config: SweepConfig, paper: Setting | None) -> int:
    """The number of trials of a whole sweep (fewer where the search has fewer distinct settings than finalists)."""
    others = min(FINALISTS, config.search.trials)
    return config.search.trials + config.seeds * (others + (paper is not None))


def reachable(config: SweepConfig, paper: Setting | None) -> bool:
    """Whether the space, with what is fixed, holds the paper's setting."""
    if paper is None or any(paper.get(key) != value for key, value in config.fixed.items()):
        return False
    if paper.keys() != config.fixed.keys() | config.space.keys():
        return False
    params = {key: paper[key] for key in config.space}
    try:
        optuna.trial.create_trial(state=TrialState.WAITING, params=params, distributions=space.distributions(config))
    except ValueError:
        return False
    return True


def _searches(config: SweepConfig, paper: Setting | None, ledger: Ledger) -> Iterator[Task]:
    """The search's trials that are not over; a failed one runs its setting again."""
    last = ledger.last("search")
    for index in range(config.search.trials):
        attempt = last.get(index)
        if attempt is None:
            setting = paper if index == 0 and reachable(config, paper) else None
            yield Task(phase="search", index=index, seed=config.seed, setting=setting)
        elif attempt.state == "failed":
            yield Task(phase="search", index=index, seed=attempt.seed, setting=attempt.setting)


def _repeats(config: SweepConfig, settings: Sequence[Setting], before: int, ledger: Ledger) -> Iterator[Task]:
    """Each setting on the same fresh seeds, less what is over; `before` settings have the numbers before these."""
    last = ledger.last("finalist")
    seeds = range(config.seed + 1, config.seed + 1 + config.seeds)
    for index, (setting, seed) in enumerate(product(settings, seeds), start=before * config.seeds):
        attempt = last.get(index)
        if attempt is None or attempt.state == "failed" or (attempt.setting, attempt.seed) != (setting, seed):
            yield Task(phase="finalist", index=index, seed=seed, setting=setting)
