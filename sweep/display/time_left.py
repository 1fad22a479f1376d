"""Estimate the time that running sweeps still take: play what remains on the slots, one event after the other."""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from sweep.display.remaining import Durations, Kind, Remaining, Run, measure_durations
from sweep.records import Phase

MAX_PLAYED = 500
"""Maximum number of search trials of a sweep that are played one by one; more before them fill the slots evenly."""
OUTPUT_S = 5.0
"""Seconds that files and report take after the last trial, on the embedded default."""


@dataclass(kw_only=True)
class PlayedSweep:
    """A sweep that is played: what has not begun, and what runs.

    Attributes:
        search: search trials; infinite where only `search_s` ends the search.
        search_s: second at which the search ends, infinite without a limit; it counts from the search's first trial.
        paper: the kinds of the paper's runs on report seeds, in order.
        race: runs of the race.
        winner: the kinds of the winner's runs on report seeds, in order.
        seconds: returns the seconds that a run of a kind takes.
        running: number of runs that run, by phase.
    """

    search: float
    search_s: float
    paper: list[Kind]
    race: int
    winner: list[Kind]
    seconds: Callable[[Kind], float]
    running: Counter[Phase] = field(default_factory=Counter)

    def begin_run(self, at: float) -> tuple[Phase, float] | None:
        """Begin the next run at this second; return its phase and duration, None where none can begin."""
        begun = self._choose_run(at)
        if begun is None:
            return None
        phase, kind = begun
        self.running[phase] += 1
        return phase, self.seconds(kind)

    def _choose_run(self, at: float) -> tuple[Phase, Kind] | None:
        """Take the next run in the order of `search.queue.pending_trials`."""
        if self.search >= 1 and at < self.search_s:
            self.search -= 1
            return "search", "search"
        if self.paper:
            return "finalist", self.paper.pop(0)
        if self.race and not self.running["search"]:
            self.race -= 1
            return "race", "race"
        if self.winner and not self.running["search"] and not self.running["race"]:
            return "finalist", self.winner.pop(0)
        return None


@dataclass(frozen=True, kw_only=True)
class BusySlot:
    """A slot with a run: the second at which it ends, the place of its sweep, and its phase."""

    ends: float
    sweep: int
    phase: Phase


def estimate_time_left(
    remaining: Sequence[Remaining], runs: Sequence[Sequence[Run]], n_slots: int, now: float
) -> float | None:
    """Estimate the seconds until all sweeps are over; None while nothing tells how long a trial takes.

    Args:
        remaining: what each sweep has not begun.
        runs: what each sweep has begun.
        n_slots: number of trials that run at once.
        now: Unix time in seconds.
    """
    shared = measure_durations([run for own in runs for run in own])
    if not shared.seconds:
        return None
    sweeps, busy = list[PlayedSweep](), list[BusySlot]()
    for place, (left, own) in enumerate(zip(remaining, runs, strict=True)):
        measured = measure_durations(own)
        durations = measured if measured.seconds else shared
        sweeps.append(_line_up(left, durations))
        for run in own:
            if run.record.state == "running":
                sweeps[place].running[run.record.phase] += 1
                ends = run.estimate_left(durations.estimate(run.kind), now)
                busy.append(BusySlot(ends=ends, sweep=place, phase=run.record.phase))
    skipped = sum(_skip_trials(sweep, n_slots) for sweep in sweeps)
    return skipped + play_sweeps(sweeps, busy, n_slots) + OUTPUT_S


def _line_up(left: Remaining, durations: Durations) -> PlayedSweep:
    return PlayedSweep(
        search=inf if left.search is None else left.search,
        search_s=inf if left.search_s is None else left.search_s,
        paper=[*left.paper],
        race=left.expected_race,
        winner=[*left.winner],
        seconds=durations.estimate,
    )


def _skip_trials(sweep: PlayedSweep, n_slots: int) -> float:
    """Leave out search trials above `MAX_PLAYED`; return the seconds that they take on all slots."""
    pace = sweep.seconds("search") / n_slots
    skipped = max(0.0, min(sweep.search, sweep.search_s / pace) - MAX_PLAYED)
    sweep.search -= skipped
    sweep.search_s -= skipped * pace
    return skipped * pace


def play_sweeps(sweeps: Sequence[PlayedSweep], busy: Sequence[BusySlot], n_slots: int) -> float:
    """Return the second at which the last run ends.

    The sweep with the fewest runs comes first, as in `cluster.searcher`.
    """
    order = [(slot.ends, slot.sweep, slot.phase) for slot in busy]
    heapq.heapify(order)
    at = 0.0
    while True:
        while len(order) < n_slots and (begun := _begin_next(sweeps, at)):
            heapq.heappush(order, begun)
        if not order:
            return at
        at, place, phase = heapq.heappop(order)
        sweeps[place].running[phase] -= 1


def _begin_next(sweeps: Sequence[PlayedSweep], at: float) -> tuple[float, int, Phase] | None:
    """Begin a run of the first sweep that has one; return its end, the sweep's place and the phase."""
    for place in sorted(range(len(sweeps)), key=lambda place: sweeps[place].running.total()):
        if begun := sweeps[place].begin_run(at):
            return at + begun[1], place, begun[0]
    return None
