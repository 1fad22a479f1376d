"""Rank settings and compare them paired by seed; one wins only where the 95 % interval excludes 0."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

from sweep.records import Setting, TrialRecord
from sweep.results.sweep_records import SweepRecords
from sweep.search.race import Race, Racer

FORGET_METRIC, RETAIN_METRIC = "forget/es", "retain/es"
TIED = "tied"
"""The verdict where neither of two settings wins."""


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The other scores minus ours, paired by seed; positive where ours are lower, that is better.

    Attributes:
        mean: mean of the differences.
        error: standard error of the mean; NaN for one pair.
        low: lower end of the mean's 95 % interval (Student's t); minus infinity for one pair.
        high: upper end of the interval; infinity for one pair.
        pairs: number of pairs.
    """

    mean: float
    error: float
    low: float
    high: float
    pairs: int

    @property
    def is_tied(self) -> bool:
        """True if the interval contains 0."""
        return self.low <= 0 <= self.high

    @property
    def half_width(self) -> float:
        """Half the interval's width: a mean difference below it cannot be told from 0."""
        return (self.high - self.low) / 2

    @property
    def p_value(self) -> float:
        """The probability of a mean this large without a true difference (two-sided, Student's t); 1 for one pair."""
        if self.pairs == 1 or self.mean == 0:
            return 1.0
        return float(2 * stdtr(self.pairs - 1, -abs(self.mean) / self.error)) if self.error else 0.0


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A setting on several fresh seeds, those of the race or of the report.

    Attributes:
        label: its name, as `label_setting` has it.
        setting: its hyper-parameters.
        scores: score by seed.
        difference: its scores minus the best setting's; None for the best itself, and where the two share no seed.
    """

    label: str
    setting: Setting
    scores: Mapping[int, float]
    difference: PairedDifference | None

    @property
    def mean(self) -> float:
        """Mean score; NaN without one."""
        return mean(self.scores)

    @property
    def std(self) -> float:
        """Standard deviation of the scores (n - 1); NaN with fewer than two."""
        return std(self.scores)

    @property
    def verdict(self) -> str:
        """The winner of this setting and the best: the label of either, or `tied`; empty where nothing is compared."""
        if self.difference is None:
            return ""
        if self.difference.is_tied:
            return TIED
        return "best" if self.difference.mean > 0 else self.label


def mean(by_seed: Mapping[int, float]) -> float:
    """Return the mean over seeds; NaN without one."""
    return fmean(by_seed.values()) if by_seed else math.nan


def std(by_seed: Mapping[int, float]) -> float:
    """Return the standard deviation over seeds (n - 1); NaN with fewer than two."""
    return stdev(by_seed.values()) if len(by_seed) > 1 else math.nan


def compare_pairs(ours: Sequence[float], others: Sequence[float]) -> PairedDifference:
    """Return the mean difference of two settings' scores on the same seeds, with its 95 % interval.

    Args:
        ours: scores of one setting, one for each seed; at least one.
        others: scores of the other setting, on the same seeds in the same order.
    """
    gaps = [other - our for our, other in zip(ours, others, strict=True)]
    gap, n = fmean(gaps), len(gaps)
    if n == 1:
        return PairedDifference(mean=gap, error=math.nan, low=-math.inf, high=math.inf, pairs=1)
    error = stdev(gaps) / math.sqrt(n)
    reach = float(stdtrit(n - 1, 0.975)) * error
    return PairedDifference(mean=gap, error=error, low=gap - reach, high=gap + reach, pairs=n)


def compare_shared_seeds(ours: Mapping[int, float], others: Mapping[int, float]) -> PairedDifference | None:
    """Compare scores by seed as `compare_pairs` does, on the seeds that both have; None where they share none."""
    shared = sorted(ours.keys() & others.keys())
    return compare_pairs([ours[seed] for seed in shared], [others[seed] for seed in shared]) if shared else None


def collect_repeat_values(
    records: Iterable[TrialRecord], setting: Setting | None, key: str = "score"
) -> dict[int, float]:
    """Return a metric of a setting's finished repeats, by fresh seed; empty where the setting is None."""
    own = [r for r in records if r.phase == "finalist" and r.state == "finished" and r.setting == setting]
    return {record.seed: record.metrics[key] for record in sorted(own, key=lambda r: r.seed) if key in record.metrics}


def collect_search_values(
    records: Iterable[TrialRecord], setting: Setting | None, key: str = "score"
) -> dict[int, float]:
    """Return a metric of a setting's finished trials in search and race, whose seeds chose it; by seed."""
    own = [r for r in records if r.phase != "finalist" and r.state == "finished" and r.setting == setting]
    return {record.seed: record.metrics[key] for record in sorted(own, key=lambda r: r.seed) if key in record.metrics}


def summarize_finalists(sweep: SweepRecords) -> list[Finalist]:
    """Summarise the settings that ran on report seeds, in the order of their first run there."""
    settings = _list_distinct_settings(sweep.list_counted("finalist"))
    best = None if sweep.best is None else sweep.best.setting
    ours = {} if best is None else collect_repeat_values(sweep.records, best)
    return [
        Finalist(
            label=label_setting(sweep, setting),
            setting=setting,
            scores=(own := collect_repeat_values(sweep.records, setting)),
            difference=None if setting == best else compare_shared_seeds(ours, own),
        )
        for setting in settings
    ]


def summarize_race(sweep: SweepRecords) -> list[Finalist]:
    """Summarise the settings in the race: first those that are left, lowest mean first, then those that left it."""
    racers = sweep.race.racers
    return [
        Finalist(
            label=label_setting(sweep, racer.setting),
            setting=racer.setting,
            scores=racer.scores,
            difference=None if place == 0 else compare_shared_seeds(racers[0].scores, racer.scores),
        )
        for place, racer in enumerate(racers)
    ]


def describe_place(race: Race, racer: Racer) -> str:
    """Return a racer's place in words: `won`, `tied`, `in the race` while it is not over, or why it left."""
    if racer.left or not race.is_over:
        return racer.left or "in the race"
    return "tied" if len(race.remaining) > 1 else "won"


def label_setting(sweep: SweepRecords, setting: Setting) -> str:
    """Return a setting's name: `best`, `paper`, both, or its rank in the search (`rank 3`)."""
    places = _list_distinct_settings(sweep.ranking)
    best = sweep.best is not None and setting == sweep.best.setting
    rank = f"rank {places.index(setting) + 1}" if setting in places else ""
    return " = ".join(filter(None, ("best" if best else rank, "paper" if setting == sweep.paper else "")))


def _list_distinct_settings(records: Iterable[TrialRecord]) -> list[Setting]:
    """Return the settings of the records without repetitions, in order."""
    settings: list[Setting] = []
    for record in records:
        if record.setting not in settings:
            settings.append(record.setting)
    return settings


def find_pareto_front(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Find the Pareto-optimal trials, lowest forget ES first; lower forget ES and higher retain ES are better."""
    front: list[TrialRecord] = []
    for record in sorted(records, key=lambda r: (r.metrics[FORGET_METRIC], -r.metrics[RETAIN_METRIC])):
        if not front or record.metrics[RETAIN_METRIC] > front[-1].metrics[RETAIN_METRIC]:
            front.append(record)
    return front


def has_both_es(metrics: Mapping[str, float]) -> bool:
    """Return True if forget and retain ES are there and finite."""
    return all(math.isfinite(metrics.get(key, math.nan)) for key in (FORGET_METRIC, RETAIN_METRIC))
