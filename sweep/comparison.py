"""Which setting is best, and by how much: paired by seed, a winner only where the 95 % interval leaves out 0."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from sweep.config import SweepConfig
from sweep.record import Record, Setting
from sweep.recovery import paper_setting

TIED = "tied"
"""The verdict where no winner is named."""


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
        return fmean(self.scores.values()) if self.scores else math.nan

    @property
    def std(self) -> float:
        """Standard deviation of the scores (n - 1); NaN with fewer than two."""
        return stdev(self.scores.values()) if len(self.scores) > 1 else math.nan

    @property
    def verdict(self) -> str:
        """Who wins, this one or the best setting: a label, or "tied"; empty where nothing is compared."""
        if self.difference is None:
            return ""
        if self.difference.tied:
            return TIED
        return "best" if self.difference.mean > 0 else self.label


def paired(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """The mean difference of two settings' scores on the same seeds, with its 95 % interval.

    Args:
        ours: scores of one setting by seed, at least one.
        others: the other setting's, same seeds in the same order.
    """
    gaps = [other - our for our, other in zip(ours, others, strict=True)]
    mean, n = fmean(gaps), len(gaps)
    if n == 1:
        return Difference(mean=mean, error=math.nan, low=-math.inf, high=math.inf, pairs=1)
    error = stdev(gaps) / math.sqrt(n)
    reach = float(stdtrit(n - 1, 0.975)) * error
    return Difference(mean=mean, error=error, low=mean - reach, high=mean + reach, pairs=n)


def ranked(records: Iterable[Record]) -> list[Record]:
    """The finished search trials, lowest score first, of equal ones the first first."""
    finished = [record for record in records if record.phase == "search" and record.state == "finished"]
    return sorted(finished, key=lambda record: (record.score, record.index))


def finalists(config: SweepConfig, records: Sequence[Record]) -> list[Finalist]:
    """The settings that were repeated on fresh seeds, in the order of their first repeat."""
    repeats = sorted((r for r in records if r.phase == "finalist" and r.state != "running"), key=lambda r: r.index)
    settings, ranking = _distinct(repeats), _distinct(ranked(records))
    scores = [_scores(repeats, setting) for setting in settings]
    ours = next((own for own, setting in zip(scores, settings, strict=True) if setting in ranking[:1]), {})
    return [
        Finalist(
            label=_label(setting, ranking, paper_setting(config)),
            setting=setting,
            scores=own,
            difference=None if setting in ranking[:1] else _difference(ours, own),
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


def _scores(repeats: Iterable[Record], setting: Setting) -> dict[int, float]:
    """Score by seed of a setting's finished repeats."""
    return {r.seed: r.score for r in repeats if r.setting == setting and r.state == "finished"}


def _difference(ours: Mapping[int, float], others: Mapping[int, float]) -> Difference | None:
    shared = sorted(ours.keys() & others.keys())
    return paired([ours[seed] for seed in shared], [others[seed] for seed in shared]) if shared else None
