"""The race: the most promising settings of the search run on the same race seeds, and those that are behind leave.

A search trial's score has the luck of its seed, so the search only nominates. In each round the settings that are left
run on one more seed. After every complete round a setting leaves if its mean lies above the lowest by more than noise
explains. The race is over when one setting is left, or after its last round. Its winner is the best setting of the
sweep.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from scipy.special import stdtrit

from sweep.config.schema import SweepConfig
from sweep.config.space import measure_distance
from sweep.records import INTERRUPTED_REASON, Setting, TrialRecord
from sweep.search.samplers import SAMPLERS
from sweep.search.score_model import rank_trials

RACE_SEED_OFFSET = 2**20
"""Offset from the sweep's seed to the first race seed: above every report seed, of which there are at most 10^6."""
MAX_ROUNDS = 4
"""Rounds of a race of at least 8 runs; a larger race has more settings."""
MIN_RACERS = 2
MIN_DISTANCE = 0.1
"""Share of a searched range by which two racers differ in some hyper-parameter, if the search has such settings."""
LEAVE_LEVEL = 0.1
"""A setting leaves where a one-sided test at this level finds its mean above the lowest."""


@dataclass(frozen=True, kw_only=True)
class Racer:
    """A setting in the race.

    Attributes:
        setting: its hyper-parameters.
        scores: score by race seed, of the complete rounds in which it took part; lower is better.
        left: the reason why it left the race; empty while it is in it, and for the winner and those tied with it.
        n_rounds: number of complete rounds in which it took part, with the one in which its run failed.
    """

    setting: Setting
    scores: Mapping[int, float]
    left: str = ""
    n_rounds: int = 0

    @property
    def mean(self) -> float:
        """Mean score; NaN before the first complete round."""
        return fmean(self.scores.values()) if self.scores else math.nan


@dataclass(frozen=True, kw_only=True)
class Race:
    """A race so far.

    Attributes:
        racers: its settings: those that are left, lowest mean first, then those that left, the last to leave first.
        seeds: its race seeds, one for each round.
        n_rounds: number of complete rounds.
        is_over: True where no further run can change its result.
    """

    racers: Sequence[Racer]
    seeds: Sequence[int]
    n_rounds: int
    is_over: bool

    @property
    def remaining(self) -> list[Racer]:
        """The settings that have not left, lowest mean first; more than one at the end are tied."""
        return [racer for racer in self.racers if not racer.left]

    @property
    def winner(self) -> Setting | None:
        """The setting with the lowest mean so far, before the first round the search's best; None without a racer."""
        return next((racer.setting for racer in self.remaining), None)

    def holds(self, setting: Setting, seed: int) -> bool:
        """Return True if a run is part of the race: its setting took, or may still take, part in the seed's round."""
        own = next((racer for racer in self.racers if racer.setting == setting), None)
        if own is None or seed not in self.seeds:
            return False
        return not (self.is_over or own.left) or self.seeds.index(seed) < own.n_rounds

    def next_runs(self) -> list[tuple[Setting, int]]:
        """Return setting and seed of all runs that may still be needed, round by round."""
        if self.is_over:
            return []
        return [(racer.setting, seed) for seed in self.seeds[self.n_rounds :] for racer in self.remaining]


def count_racers(race: int) -> int:
    """Return how many settings enter a race of at most `race` runs."""
    return max(MIN_RACERS, race // MAX_ROUNDS) if race else 1


def list_race_seeds(config: SweepConfig) -> list[int]:
    """Return the seeds of the race's rounds, which are no report seeds."""
    first = config.seed + RACE_SEED_OFFSET
    return [*range(first, first + config.search.race // count_racers(config.search.race))]


def list_own_trials(config: SweepConfig, paper: Setting | None, records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return a trial of each setting that the search found by itself, best first; no diverged ones.

    The paper's setting is given to the search as trial 0, unless the sampler lists all settings, and does not count
    there; it counts where the search proposes it again.
    """
    handed = paper if SAMPLERS[config.search.sampler].list_settings is None else None
    best: dict[str, TrialRecord] = {}
    for record in rank_trials(config, records):
        if not record.reason and (record.index, record.setting) != (0, handed):
            best.setdefault(_setting_key(record.setting), record)
    return [*best.values()]


def nominate_racers(config: SweepConfig, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Choose the racers among ranked trials: the best that are not nearly alike, and then the best of the others."""
    apart: list[TrialRecord] = []
    for trial in trials:
        if all(measure_distance(config.space, trial.setting, one.setting) >= MIN_DISTANCE for one in apart):
            apart.append(trial)
    return [*apart, *(trial for trial in trials if trial not in apart)][: count_racers(config.search.race)]


def hold_race(config: SweepConfig, paper: Setting | None, records: Sequence[TrialRecord]) -> Race:
    """Replay the race from the records alone: the same records give the same race, in whatever order they ended.

    Only complete rounds count. A run that failed takes its setting out of the race; one that diverged has a score.

    Args:
        config: the sweep.
        paper: the paper's setting, if there is one.
        records: the last attempts of the sweep's trials.
    """
    own = nominate_racers(config, list_own_trials(config, paper, records))
    ended = {
        (_setting_key(r.setting), r.seed): r
        for r in records
        if r.phase == "race" and r.state != "running" and r.reason != INTERRUPTED_REASON
    }
    seeds = list_race_seeds(config) if len(own) > 1 else []
    remaining, gone = [Racer(setting=record.setting, scores={}) for record in own], list[Racer]()
    n_rounds = 0
    for seed in seeds:
        runs = [ended.get((_setting_key(racer.setting), seed)) for racer in remaining]
        if len(remaining) == 1 or None in runs:
            break
        ran = [_add_run(racer, run) for racer, run in zip(remaining, runs, strict=True) if run is not None]
        ran = _mark_leavers(ran)
        n_rounds += 1
        gone = sorted((racer for racer in ran if racer.left), key=_sort_key) + gone
        remaining = sorted((racer for racer in ran if not racer.left), key=_sort_key)
    is_over = len(remaining) <= 1 or n_rounds == len(seeds)
    return Race(racers=[*remaining, *gone], seeds=seeds, n_rounds=n_rounds, is_over=is_over)


def is_counted(record: TrialRecord, race: Race | None, paper: Setting | None) -> bool:
    """Return True if a trial enters the result of a sweep.

    A sweep that was resumed with more trials may hold runs of race and report of settings that these have overtaken;
    and idle workers run rounds of the race ahead, which a setting that leaves no longer needs.

    Args:
        record: the trial.
        race: the sweep's race; None while it is not known which settings race.
        paper: the paper's setting, if there is one.
    """
    if record.phase == "race":
        return race is not None and race.holds(record.setting, record.seed)
    return record.phase == "search" or record.setting in (paper, None if race is None else race.winner)


def _setting_key(setting: Setting) -> str:
    """Return a setting as a key of dictionaries."""
    return repr(sorted(setting.items()))


def _sort_key(racer: Racer) -> float:
    return racer.mean if racer.scores else math.inf


def _add_run(racer: Racer, run: TrialRecord) -> Racer:
    """Add a run's score to its racer; a failed run takes it out of the race."""
    n_rounds = racer.n_rounds + 1
    if run.state == "failed":
        return replace(racer, left=f"failed on seed {run.seed}: {run.reason}", n_rounds=n_rounds)
    return replace(racer, scores={**racer.scores, run.seed: run.score}, n_rounds=n_rounds)


def _mark_leavers(racers: Sequence[Racer]) -> list[Racer]:
    """Take out the racers whose mean is too far above the lowest."""
    inside = [racer for racer in racers if not racer.left]
    if len(inside) < MIN_RACERS:
        return [*racers]
    limit = compute_limit([[*racer.scores.values()] for racer in inside])
    lowest, n_rounds = min(racer.mean for racer in inside), len(inside[0].scores)
    return [
        replace(racer, left=f"behind after round {n_rounds}")
        if not racer.left and racer.mean - lowest > limit
        else racer
        for racer in racers
    ]


def compute_limit(scores: Sequence[Sequence[float]]) -> float:
    """Compute the difference of two means above which a racer is behind; infinite after one round.

    The noise is what is left of the scores without the means of settings and of seeds, pooled over all settings, with
    (settings − 1) · (rounds − 1) degrees of freedom (two-way analysis of variance without replication).

    Args:
        scores: the scores of each racer, on the same seeds in the same order.
    """
    n_racers, n_rounds = len(scores), len(scores[0])
    freedom = (n_racers - 1) * (n_rounds - 1)
    if freedom == 0:
        return math.inf
    of_racer, of_seed = [fmean(own) for own in scores], [fmean(column) for column in zip(*scores, strict=True)]
    overall = fmean(of_racer)
    rest = sum(
        (score - of_racer[i] - of_seed[j] + overall) ** 2 for i, own in enumerate(scores) for j, score in enumerate(own)
    )
    return float(stdtrit(freedom, 1 - LEAVE_LEVEL)) * math.sqrt(2 * rest / freedom / n_rounds)
