"""State of running sweeps: the records of all trials, and the forecast that both displays show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from sweep import records
from sweep.display.remaining import Remaining, Run, classify_run, count_remaining
from sweep.display.time_left import estimate_time_left
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Phase, TrialRecord

TrialKey: TypeAlias = tuple[Phase, int]

FORECAST_INTERVAL_S = 2.0
"""Minimum time between two forecasts, in seconds."""
PHASE_NAMES: Mapping[Phase, str] = {"search": "search", "race": "race", "finalist": "report seeds"}
"""Phases as the user reads them."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Forecast of running sweeps.

    Attributes:
        n_trials: number of trials in all, at most; None where only `search.hours` limits a search.
        ends: Unix time at which all sweeps are over; None while that is not known.
    """

    n_trials: int | None
    ends: float | None


class SweepsState:
    """Trials of all sweeps that run side by side.

    Attributes:
        plans: the sweeps by name.
        trials: last attempt of each trial by phase and index, by the sweep's name.
        started: Unix time at which the first trial of this launch began; 0 before.
        n_slots: number of trials that run at once.
        forecast: the latest forecast.
    """

    def __init__(self, plans: Sequence[SweepPlan]) -> None:
        """Start without trials, on one slot."""
        self.plans = {plan.name: plan for plan in plans}
        self.trials: dict[str, dict[TrialKey, TrialRecord]] = {name: {} for name in self.plans}
        self.started = 0.0
        self.n_slots = 1
        self.forecast = Forecast(n_trials=None, ends=None)
        self._points: dict[tuple[str, TrialKey], list[tuple[float, float]]] = {}
        self._most_running = 1
        self._forecast_at = 0.0

    def add_resumed(self, name: str, resumed: Sequence[TrialRecord]) -> None:
        """Add the trials that were done before the sweep was resumed; skip failed ones, which run again."""
        self.trials[name] |= {(one.phase, one.index): one for one in resumed if one.state != "failed"}

    def update_trial(self, name: str, record: TrialRecord) -> None:
        """Add the trial or replace its record."""
        self.started = self.started or records.now()
        key = record.phase, record.index
        before = self.trials[name].get(key)
        if before is None or before.started != record.started:
            self._points[name, key] = []
        self.trials[name][key] = record
        points, share = self._points[name, key], self._measure_share(name, record)
        if record.state == "running" and share > (points[-1][0] if points else 0.0):
            points[1:] = [(share, records.now() - record.started)]  # the first and the last one are kept

    def list_running(self) -> list[tuple[str, TrialRecord]]:
        """Return the running trials with the names of their sweeps."""
        return [(name, one) for name, own in self.trials.items() for one in own.values() if one.state == "running"]

    def find_best(self, name: str) -> TrialRecord | None:
        """Return the search trial of a sweep with the lowest score."""
        finished = [one for one in self.trials[name].values() if (one.phase, one.state) == ("search", "finished")]
        return min(finished, key=lambda one: (one.score, one.index), default=None)

    def refresh_forecast(self) -> None:
        """Compute the forecast anew unless it is less than `FORECAST_INTERVAL_S` seconds old, or no trial has begun."""
        now = records.now()
        if self.started and now - self._forecast_at >= FORECAST_INTERVAL_S:
            self.forecast, self._forecast_at = self._compute_forecast(now), now

    def end_forecast(self) -> None:
        """Forget the time that is left: no trial runs any more."""
        self.forecast = replace(self.forecast, ends=None)

    def describe_progress(self) -> str:
        """Describe trials, time that is left, elapsed time and phase in a line."""
        over = sum(one.state != "running" for own in self.trials.values() for one in own.values())
        n_trials, ends = self.forecast.n_trials, self.forecast.ends
        running = {record.phase for _, record in self.list_running()}
        phases = ", ".join(name for phase, name in PHASE_NAMES.items() if phase in running)
        elapsed = f"{format_duration(records.now() - self.started)} elapsed"
        left = "" if ends is None else f"about {format_duration(max(0.0, ends - records.now()))} left"
        count = f"{over} trials" if n_trials is None else f"{over}/{max(over, n_trials)} trials"
        return "  ".join(filter(None, [count, left, elapsed, phases]))

    def _measure_share(self, name: str, record: TrialRecord) -> float:
        """Return the share of a trial that is known to be done: of its epochs, or of its steps."""
        epochs = float(record.setting.get("train.epochs", self.plans[name].config.train.epochs))
        done = record.curve[-1]["epoch"] / epochs if record.curve else 0.0
        return max(done, record.progress.done / max(1, record.progress.total) if record.progress else 0.0)

    def _compute_forecast(self, now: float) -> Forecast:
        begun = {name: [*own.values()] for name, own in self.trials.items()}
        remaining = [count_remaining(plan.config, plan.paper, begun[name], now) for name, plan in self.plans.items()]
        totals = [one.total for one in remaining if one.total is not None]
        n_slots = self._count_slots(remaining)
        left = estimate_time_left(remaining, [self._list_runs(name) for name in self.plans], n_slots, now)
        return Forecast(
            n_trials=sum(totals) + sum(map(len, begun.values())) if len(totals) == len(remaining) else None,
            ends=None if left is None else now + left,
        )

    def _count_slots(self, remaining: Sequence[Remaining]) -> int:
        """Return the number of trials that run at once; a cluster that grows has fewer than it may have at first."""
        self._most_running = max(self._most_running, len(self.list_running()))
        is_full = any(one.search is None or one.search for one in remaining)
        return min(self.n_slots, self._most_running) if is_full else self.n_slots

    def _list_runs(self, name: str) -> list[Run]:
        config = self.plans[name].config
        return [
            Run(kind=classify_run(config, record), record=record, points=self._points.get((name, key), ()))
            for key, record in self.trials[name].items()
        ]


def format_duration(seconds: float) -> str:
    """Format a duration as text: `2:10`, `1:02:10` or `3 d 4 h`."""
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
