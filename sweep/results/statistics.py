"""Which setting is best, and by how much: paired by seed, a winner only where the 95 % interval leaves out 0."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtr, stdtrit

from sweep.config.schema import SweepConfig
from sweep.records import Record, Setting
from sweep.search.paper import paper_setting

TIED = "tied"
"""The verdict where no winner is named."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep that is over, or as far as it has come.

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
    """How far other scores lie above ours, paired by seed; positive: ours are lower, better.

    Attributes:
        mean: mean of the differences.
        error: its standard error; NaN for one pair.
        low: lower end of its 95 % interval (Student's t); minus infinity for one pair.
        high: its upper end.
        pairs: how many there are.
    """

    mean: float
    error: float
    low: float
    high: float
    pairs: int

    @property
    def tied(self) -> bool:
        """Whether the interval holds 0."""
        return self.low <= 0 <= self.high

    @property
    def reach(self) -> float:
        """Half the interval's width: a smaller mean difference than this cannot be told from 0."""
        return (self.high - self.low) / 2

    @property
    def p(self) -> float:
        """How probable so large a mean is where there is no difference (two-sided, Student's t); 1 for one pair."""
        if self.pairs == 1 or self.mean == 0:
            return 1.0
        return float(2 * stdtr(self.pairs - 1, -abs(self.mean) / self.error)) if self.error else 0.0


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A setting that was repeated on fresh seeds.

    Attributes:
        label: its place in the search (best, runner-up, rank 3 ...) and whether it is the paper's.
        setting: its hyper-parameters.
        scores: score by seed.
        difference: its scores above the best setting's; None for that one, and where the two share no seed.
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
        """Who wins, this one or the best setting: a label, or "tied"; empty where nothing is compared."""
        if self.difference is None:
            return ""
        if self.difference.tied:
            return TIED
        return "best" if self.difference.mean > 0 else self.label


def mean(by_seed: Mapping[int, float]) -> float:
    """Mean over seeds; NaN without one."""
    return fmean(by_seed.values()) if by_seed else math.nan


def std(by_seed: Mapping[int, float]) -> float:
    """Standard deviation over seeds (n - 1); NaN with fewer than two."""
    return stdev(by_seed.values()) if len(by_seed) > 1 else math.nan


def paired(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """The mean difference of two settings' scores on the same seeds, with its 95 % interval.

    Args:
        ours: scores of one setting by seed, at least one.
        others: the other setting's, same seeds in the same order.
    """
    gaps = [other - our for our, other in zip(ours, others, strict=True)]
    gap, n = fmean(gaps), len(gaps)
    if n == 1:
        return Difference(mean=gap, error=math.nan, low=-math.inf, high=math.inf, pairs=1)
    error = stdev(gaps) / math.sqrt(n)
    reach = float(stdtrit(n - 1, 0.975)) * error
    return Difference(mean=gap, error=error, low=gap - reach, high=gap + reach, pairs=n)


def difference(ours: Mapping[int, float], others: Mapping[int, float]) -> Difference | None:
    """The same of scores by seed, on the seeds that both have; None without one."""
    shared = sorted(ours.keys() & others.keys())
    return paired([ours[seed] for seed in shared], [others[seed] for seed in shared]) if shared else None


def ranked(records: Iterable[Record]) -> list[Record]:
    """The finished search trials, lowest score first, of equal ones the first first."""
    finished = [record for record in records if record.phase == "search" and record.state == "finished"]
    return sorted(finished, key=lambda record: (record.score, record.index))


def best(records: Iterable[Record]) -> Record | None:
    """The finished search trial with the lowest score, of equal ones the first; None where none finished."""
    return next(iter(ranked(records)), None)


def trial_of(setting: Setting, records: Iterable[Record]) -> Record | None:
    """The best finished search trial of a setting."""
    return next((record for record in ranked(records) if record.setting == setting), None)


def found(config: SweepConfig, records: Iterable[Record]) -> Record | None:
    """The best trial that the search came to by itself; None without one that did not diverge.

    The paper's setting is handed to it as trial 0, unless it is a grid, and does not count there; it counts where the
    search asks it again.
    """
    handed = None if config.search.sampler == "grid" else paper_setting(config)
    own = [record for record in ranked(records) if (record.index, record.setting) != (0, handed)]
    return next((record for record in own if not record.reason), None)


def repeats(records: Iterable[Record], setting: Setting | None, key: str = "score") -> dict[int, float]:
    """A metric of a setting's finished repeats, by fresh seed; empty for None."""
    own = [r for r in records if r.phase == "finalist" and r.state == "finished" and r.setting == setting]
    return {record.seed: record.metrics[key] for record in sorted(own, key=lambda r: r.seed) if key in record.metrics}


def finalists(config: SweepConfig, records: Sequence[Record]) -> list[Finalist]:
    """The settings that were repeated on fresh seeds, in the order of their first repeat."""
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
    """The place in the search, and whether it is the paper's; the paper's setting may have no place."""
    places = ["best", "runner-up", *(f"rank {n}" for n in range(3, len(ranking) + 1))]
    place = places[ranking.index(setting)] if setting in ranking else ""
    return " = ".join(filter(None, (place, "paper" if setting == paper else "")))


def _distinct(records: Iterable[Record]) -> list[Setting]:
    settings: list[Setting] = []
    for record in records:
        if record.setting not in settings:
            settings.append(record.setting)
    return settings
