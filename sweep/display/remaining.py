"""Count what a sweep still has to run, and learn from its trials how long that takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal, TypeAlias

from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.search.queue import compute_busy_hours, count_race_runs, count_search_trials
from sweep.search.race import hold_race

Kind: TypeAlias = Literal["search", "race", "report", "first report"]
"""Runs that take alike long: the first report seed alone is measured with the full suite."""
FALLBACKS: Mapping[Kind, Sequence[Kind]] = {
    "search": ("search", "race", "report"),
    "race": ("race", "search", "report"),
    "report": ("report", "race", "search"),
    "first report": ("first report", "report", "race", "search"),
}
"""Kinds whose durations stand for those of a kind, the first that is known."""
RACE_SHARE = 0.8
"""Share of a race's runs that is expected to run before settings have left it: 0.56 to 1 in 14 recorded sweeps."""
FULL_SUITE_FACTOR = 2.0
"""Duration of a first report in durations of other runs, until one is measured; 2.0 and 2.2 on the embedded default."""
MIN_SECONDS = 0.001
"""Least duration of a run: the forecast of toy runs that take no time has an end too."""
N_RECENT = 16
"""Number of the most recent runs of a kind whose mean duration is taken: the machine's load changes."""


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """Runs of a sweep that have not begun.

    Attributes:
        search: search trials; None where only `search_s` limits them.
        search_s: seconds until `search.hours` ends the search; None without such a limit.
        paper: the kinds of the paper's runs on report seeds, in order.
        race: runs of the race, at most.
        race_round: those of them that the current round needs.
        winner: the kinds of the winner's runs on report seeds, in order.
    """

    search: int | None
    search_s: float | None
    paper: Sequence[Kind]
    race: int
    race_round: int
    winner: Sequence[Kind]

    @property
    def total(self) -> int | None:
        """Their number, at most; None where only `search_s` limits the search."""
        return None if self.search is None else self.search + len(self.paper) + self.race + len(self.winner)

    @property
    def expected_race(self) -> int:
        """The number of race runs that are likely before settings have left the race."""
        return self.race_round + round(RACE_SHARE * (self.race - self.race_round))


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trial that has begun.

    Attributes:
        kind: its kind.
        record: its last attempt.
        points: its progress so far: the share of it that was done, above 0 to 1, and seconds from its start.
    """

    kind: Kind
    record: TrialRecord
    points: Sequence[tuple[float, float]] = ()

    @property
    def seconds(self) -> float | None:
        """Its duration once it has ended; None before, and where it failed."""
        return self.record.ended - self.record.started if self.record.state in ("finished", "pruned") else None

    def guess_seconds(self) -> float | None:
        """Guess the duration of such runs without what came before its first progress, as the loading of a model."""
        points = [*self.points, *([] if self.seconds is None else [(1.0, self.seconds)])]
        if len(points) < 2:
            return points[0][1] / points[0][0] if points else None
        (share, at), (last, then) = points[0], points[-1]
        return (then - at) / (last - share) if last > share else then / last

    def estimate_left(self, usual_s: float, now: float) -> float:
        """Estimate the seconds until it ends; past the usual duration its own progress tells more."""
        elapsed = now - self.record.started
        if elapsed > usual_s and self.points:
            share, at = self.points[-1]
            usual_s = at / share
        return max(0.0, usual_s - elapsed)


def classify_run(config: SweepConfig, record: TrialRecord) -> Kind:
    """Return the kind of a run."""
    if record.phase != "finalist":
        return record.phase
    return "first report" if record.seed == config.seed + 1 else "report"


def count_remaining(
    config: SweepConfig, paper: Setting | None, records: Sequence[TrialRecord], now: float
) -> Remaining:
    """Count the runs that have not begun; a race that is going on has no more than its settings that are left need.

    Args:
        config: the sweep.
        paper: the paper's setting, if there is one.
        records: the last attempts of its trials; those that failed count as over.
        now: Unix time in seconds.
    """
    search = sorted((one for one in records if one.phase == "search"), key=lambda one: one.started)
    n_search, hours = count_search_trials(config), config.search.hours
    race, race_round = _count_race(config, paper, records)
    return Remaining(
        search=None if n_search is None else max(0, n_search - len(search)),
        search_s=None if hours is None else max(0.0, 3600 * (hours - compute_busy_hours(search, now))),
        paper=[] if paper is None else _list_reports(config, {r.seed for r in records if _is_report(r, paper, True)}),
        race=race,
        race_round=race_round,
        winner=[]
        if config.search.sampler == "paper"
        else _list_reports(config, {r.seed for r in records if _is_report(r, paper, False)}),
    )


def _is_report(record: TrialRecord, paper: Setting | None, of_paper: bool) -> bool:
    """Return True for a run on a report seed, of the paper's setting or of another."""
    return record.phase == "finalist" and (record.setting == paper) == of_paper


def _list_reports(config: SweepConfig, begun: Set[int]) -> list[Kind]:
    """Return the kinds of a setting's runs on the report seeds that have not begun."""
    first = config.seed + 1
    seeds = [seed for seed in range(first, first + config.seeds) if seed not in begun]
    return ["first report" if seed == first else "report" for seed in seeds]


def _count_race(config: SweepConfig, paper: Setting | None, records: Sequence[TrialRecord]) -> tuple[int, int]:
    """Return the numbers of race runs that have not begun: at most, and of the current round."""
    begun = [(one.setting, one.seed) for one in records if one.phase == "race"]
    if not begun:
        return count_race_runs(config, paper), 0
    race = hold_race(config, paper, records)
    waiting = [run for run in race.next_runs() if run not in begun]
    return len(waiting), sum(seed == race.seeds[race.n_rounds] for _, seed in waiting)


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Durations of runs.

    Attributes:
        seconds: mean duration by kind; empty where nothing is known.
        gap: seconds between two runs of a worker.
    """

    seconds: Mapping[Kind, float]
    gap: float

    def estimate(self, kind: Kind) -> float:
        """Return the seconds from the start of a run of a kind to the start of the next; something must be known."""
        like = next(other for other in FALLBACKS[kind] if other in self.seconds)
        factor = FULL_SUITE_FACTOR if kind == "first report" != like else 1.0
        return max(MIN_SECONDS, factor * self.seconds[like] + self.gap)


def measure_durations(runs: Iterable[Run]) -> Durations:
    """Measure the runs that have ended, of one sweep or of several.

    The first run of each worker, which loads libraries and models, is left out; while there is no other, and before
    any has ended, the progress of runs tells.
    """
    order = sorted(runs, key=lambda run: run.record.started)
    over = [run for run in order if run.seconds is not None]
    first = {run.record.worker: run for run in reversed(over)}
    warm = [run for run in over if first[run.record.worker] is not run]
    known = [(run.kind, run.seconds) for run in warm] or [(run.kind, run.guess_seconds()) for run in order]
    seconds: dict[Kind, list[float]] = {}
    for kind, one in known:
        if one is not None:
            seconds.setdefault(kind, []).append(one)
    gaps = [*_list_gaps([run.record for run in over])]
    return Durations(
        seconds={kind: fmean(own[-N_RECENT:]) for kind, own in seconds.items()}, gap=median(gaps) if gaps else 0.0
    )


def _list_gaps(records: Iterable[TrialRecord]) -> Iterator[float]:
    """Yield the seconds between two runs of the same phase, one after the other on the same worker."""
    before: dict[str, TrialRecord] = {}
    for record in records:
        last = before.get(record.worker)
        if last is not None and last.phase == record.phase:
            yield max(0.0, record.started - last.ended)
        before[record.worker] = record
