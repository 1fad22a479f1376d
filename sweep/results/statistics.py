"""Rank settings and compare them paired by seed; one wins only where the 95 % interval excludes 0."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

from sweep.config.schema import SweepConfig
from sweep.records import Record, Setting
from sweep.search.paper import paper_setting

TIED = "tied"
"""The verdict where neither of two settings wins."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep with its trials so far.

    Attributes:
        name: its name.
        config: its configuration.
        records: its trials, in any order.
    """

    name: str
    config: SweepConfig
    records: Sequence[Record]


@dataclass(frozen=True, kw_only=True)
class Difference:
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
    def tied(self) -> bool:
        """True if the interval contains 0."""
        return self.low <= 0 <= self.high

    @property
    def reach(self) -> float:
        """Half the interval's width: a mean difference below it cannot be told from 0."""
        return (self.high - self.low) / 2

    @property
    def p(self) -> float:
        """The probability of a mean this large without a true difference (two-sided, Student's t); 1 for one pair."""
        if self.pairs == 1 or self.mean == 0:
            return 1.0
        return float(2 * stdtr(self.pairs - 1, -abs(self.mean) / self.error)) if self.error else 0.0


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A setting that was repeated on fresh seeds.

    Attributes:
        label: its place in the search (best, runner-up, rank 3 ...), and `paper` where it is the paper's.
        setting: its hyper-parameters.
        scores: score by seed.
        difference: its scores minus the best setting's; None for the best itself, and where the two share no seed.
    """

    label: str
    setting: Setting
    scores: Mapping[int, float]
    difference: Difference | None

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
        if self.difference.tied:
            return TIED
        return "best" if self.difference.mean > 0 else self.label


def mean(by_seed: Mapping[int, float]) -> float:
    """Return the mean over seeds; NaN without one."""
    return fmean(by_seed.values()) if by_seed else math.nan


def std(by_seed: Mapping[int, float]) -> float:
    """Return the standard deviation over seeds (n - 1); NaN with fewer than two."""
    return stdev(by_seed.values()) if len(by_seed) > 1 else math.nan


def paired(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """Return the mean difference of two settings' scores on the same seeds, with its 95 % interval.

    Args:
        ours: scores of one setting, one for each seed; at least one.
        others: scores of the other setting, on the same seeds in the same order.
    """
    gaps = [other - our for our, other in zip(ours, others, strict=True)]
    gap, n = fmean(gaps), len(gaps)
    if n == 1:
        return Difference(mean=gap, error=math.nan, low=-math.inf, high=math.inf, pairs=1)
    error = stdev(gaps) / math.sqrt(n)
    reach = float(stdtrit(n - 1, 0.975)) * error
    return Difference(mean=gap, error=error, low=gap - reach, high=gap + reach, pairs=n)


def difference(ours: Mapping[int, float], others: Mapping[int, float]) -> Difference | None:
    """Compare scores by seed as `compare_pairs` does, on the seeds that both have; None where they share none."""
    shared = sorted(ours.keys() & others.keys())
    return paired([ours[seed] for seed in shared], [others[seed] for seed in shared]) if shared else None


def ranked(records: Iterable[Record]) -> list[Record]:
    """Sort the finished search trials, lowest score first, equal scores by index."""
    finished = [record for record in records if record.phase == "search" and record.state == "finished"]
    return sorted(finished, key=lambda record: (record.score, record.index))


def best(records: Iterable[Record]) -> Record | None:
    """Return the finished search trial with the lowest score, the first of equal ones; None where none finished."""
    return next(iter(ranked(records)), None)


def trial_of(setting: Setting, records: Iterable[Record]) -> Record | None:
    """Return the best finished search trial with this setting; None where there is none."""
    return next((record for record in ranked(records) if record.setting == setting), None)


def found(config: SweepConfig, records: Iterable[Record]) -> Record | None:
    """Return the best trial that the search found by itself; None where no trial finished without diverging.

    The paper's setting is given to the search as trial 0, unless it is a grid, and does not count there; it counts
    where the search proposes it again.
    """
    handed = None if config.search.sampler == "grid" else paper_setting(config)
    own = [record for record in ranked(records) if (record.index, record.setting) != (0, handed)]
    return next((record for record in own if not record.reason), None)


def repeats(records: Iterable[Record], setting: Setting | None, key: str = "score") -> dict[int, float]:
    """Return a metric of a setting's finished repeats, by fresh seed; empty where the setting is None."""
    own = [r for r in records if r.phase == "finalist" and r.state == "finished" and r.setting == setting]
    return {record.seed: record.metrics[key] for record in sorted(own, key=lambda r: r.seed) if key in record.metrics}


def finalists(config: SweepConfig, records: Sequence[Record]) -> list[Finalist]:
    """Summarise the settings that were repeated on fresh seeds, in the order of their first repeat."""
    over = sorted((r for r in records if r.phase == "finalist" and r.state != "running"), key=lambda r: r.index)
    settings, ranking = _distinct(over), _distinct(ranked(records))
    scores = [repeats(records, setting) for setting in settings]
    ours = next((own for own, setting in zip(scores, settings, strict=True) if setting in ranking[:1]), {})
    return [
        Finalist(
            label=_label(setting, ranking, paper_setting(config)),
            setting=setting,
            scores=own,
            difference=None if setting in ranking[:1] else difference(ours, own),
        )
        for setting, own in zip(settings, scores, strict=True)
    ]


def _label(setting: Setting, ranking: Sequence[Setting], paper: Setting | None) -> str:
    """Return a setting's place in the search and `paper` where it is the paper's, which may have no place."""
    places = ["best", "runner-up", *(f"rank {n}" for n in range(3, len(ranking) + 1))]
    place = places[ranking.index(setting)] if setting in ranking else ""
    return " = ".join(filter(None, (place, "paper" if setting == paper else "")))


def _distinct(records: Iterable[Record]) -> list[Setting]:
    """Return the settings of the records without repetitions, in order."""
    settings: list[Setting] = []
    for record in records:
        if record.setting not in settings:
            settings.append(record.setting)
    return settings
