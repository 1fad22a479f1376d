"""Judge if a sweep found the paper's tuned setting again: the verdict and its evidence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from sweep.config.search_schema import Choices, Range
from sweep.config.space import measure_share
from sweep.records import Setting, Value, format_setting
from sweep.results.statistics import PairedDifference, collect_repeat_values, compare_shared_seeds, mean
from sweep.results.sweep_records import SweepRecords
from sweep.search.paper import list_qualifiers, recipe_differences
from sweep.search.samplers import N_STARTUP_TRIALS, SAMPLERS
from sweep.search.score_model import estimate_means

MAX_RANGE_SHARE = 0.1
"""The largest distance, as a share of the searched range, at which a value counts as the tuned one."""
EQUIVALENT_SHARE = 0.1
"""Difference, as a share of what there is to gain (`measure_spread`), below which two settings count as equivalent."""
MIN_PAIRED_SEEDS = 2
"""The number of report seeds that a confidence interval needs."""
Verdict: TypeAlias = Literal["recovered", "within noise", "equivalent", "better found", "not recovered", "undecided"]
OPENINGS: Mapping[Verdict, str] = {
    "recovered": "Recovered the paper's setting",
    "within noise": "Within noise of the paper's setting",
    "equivalent": "Equivalent to the paper's setting",
    "better found": "Better than the paper's setting",
    "not recovered": "Not recovered, worse than the paper's setting",
    "undecided": "Undecided beside the paper's setting",
}
"""The beginning of a verdict's sentence."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """The best setting that a search found by itself, compared with the one that the paper tuned.

    The verdict follows from the 95 % interval of the difference on report seeds. `recovered`: it contains 0, each
    searched value is near the tuned one, and all others are equal, or both settings are the same. `within noise`: it
    contains 0, but a value is farther away; any difference between the scores is too small for this number of seeds.
    `equivalent`: it excludes 0, but the difference is below a tenth of what separates the search's best from its median
    score. `better found` and `not recovered`: it excludes 0 in favour of the found or of the tuned setting.
    `undecided`: there is no interval.

    Attributes:
        objective: the objective that was tuned.
        model: the model that was unlearned.
        split: the split of the paper's table.
        found: the best setting of the search, without the tuned one that was given to it; None without one.
        tuned: the paper's setting, with a value for every hyper-parameter that the sweep searches or fixes.
        distance: by hyper-parameter, the distance of the two values as a share of the searched range, on a log scale
            where the search has one; from 0, and above 1 only where the tuned value lies outside; 0 or 1 for choices;
            infinite where the range has no length or its log scale no place for the tuned value; NaN where it is not
            searched, or nothing was found.
        difference: the tuned setting's scores minus the found one's on the same report seeds (positive: found is
            better); None where the two share no seed.
        found_score: the found setting's mean score on these seeds; NaN without one.
        tuned_score: the tuned setting's mean score on them; NaN without one.
        tau: the share of retention at which both are scored.
        verdict: one of the above.
        reason: the reason for `undecided`; else empty.
        qualifiers: `stand-in` where model or data is not the paper's, `other recipe` where the recipe is not.
        departures: the differences from the paper's recipe.
    """

    objective: str
    model: str
    split: str
    found: Setting | None
    tuned: Setting
    distance: Mapping[str, float]
    difference: PairedDifference | None
    found_score: float
    tuned_score: float
    tau: float
    verdict: Verdict
    reason: str
    qualifiers: Sequence[str]
    departures: Sequence[str]

    @property
    def sentence(self) -> str:
        """The verdict with its evidence, as a sentence for people."""
        qualified = f"; {', '.join(self.qualifiers)}" if self.qualifiers else ""
        where = f"{self.objective} on {self.model}, {self.split}{qualified}"
        return f"{OPENINGS[self.verdict]} ({where}): {self.reason or self._evidence}."

    @property
    def _evidence(self) -> str:
        """The scores of both settings and their difference; a tie also names the smallest visible difference."""
        gap, tuned = self.difference, format_setting(self.tuned)
        if self.found is None or self.found == self.tuned or gap is None:
            return f"the search came to the tuned {tuned} by itself"
        unseen = f"; differences below {gap.half_width:.3f} cannot be told from 0" if gap.is_tied else ""
        small = "; the difference is less than a tenth of what the search can gain"
        return (
            f"{format_setting(self.found)} leaves {self.found_score:.3f} of the forget rows extractable at"
            f" {100 * self.tau:g} % of retention, against {self.tuned_score:.3f} with {tuned}"
            f" (difference {0 - gap.mean:+.3f}, 95 % interval [{0 - gap.high:+.3f}, {0 - gap.low:+.3f}],"
            f" {gap.pairs} seeds){unseen}{small if self.verdict == 'equivalent' else ''}"
        )


def judge_recovery(sweep: SweepRecords) -> Recovery | None:
    """Judge from the trials so far if a sweep recovered the paper's setting.

    Returns:
        The verdict with its evidence; None where the paper has no setting for the sweep, or the sweep searches nothing.
    """
    config, tuned, split = sweep.config, sweep.paper, sweep.config.data.paper_split
    if tuned is None or split is None or not config.space:
        return None
    own = None if sweep.found is None else {name: sweep.found[name] for name in tuned}
    ours, theirs = (collect_repeat_values(sweep.records, setting) for setting in (own, tuned))
    gap, shared = compare_shared_seeds(ours, theirs), ours.keys() & theirs.keys()
    verdict, reason = _decide_verdict(sweep, own, tuned, gap)
    return Recovery(
        objective=config.objective,
        model=config.model.name,
        split=split,
        found=own,
        tuned=tuned,
        distance={
            name: _measure_distance(config.space.get(name), (own or {}).get(name), tuned[name]) for name in tuned
        },
        difference=gap,
        found_score=mean({seed: ours[seed] for seed in shared}),
        tuned_score=mean({seed: theirs[seed] for seed in shared}),
        tau=config.score.tau,
        verdict=verdict,
        reason=reason,
        qualifiers=list_qualifiers(config),
        departures=recipe_differences(config),
    )


def _decide_verdict(
    sweep: SweepRecords, own: Setting | None, tuned: Setting, gap: PairedDifference | None
) -> tuple[Verdict, str]:
    """Return the verdict, and the reason where it is undecided."""
    if own is None:
        failed = "every setting left the race: its runs failed"
        return "undecided", failed if sweep.race.racers else "the search came to no setting by itself"
    if own == tuned:
        return "recovered", ""
    if gap is None or gap.pairs < MIN_PAIRED_SEEDS:
        pairs = 0 if gap is None else gap.pairs
        return (
            "undecided",
            f"it takes {MIN_PAIRED_SEEDS} report seeds on which both settings finished, not {pairs}",
        )
    if gap.is_tied:
        near = all(_is_near(sweep.config.space.get(name), own[name], tuned[name]) for name in tuned)
        return "recovered" if near else "within noise", ""
    if abs(gap.mean) < EQUIVALENT_SHARE * measure_spread(sweep):
        return "equivalent", ""
    return "better found" if gap.mean > 0 else "not recovered", ""


def measure_spread(sweep: SweepRecords) -> float:
    """Measure what there is to gain: the median score of the random settings minus the lowest mean; 0 without one.

    Later settings of a sampler that learns are good ones, so that only the first count; of a list of settings all do.
    """
    is_list = SAMPLERS[sweep.config.search.sampler].list_settings is not None
    random = [record.score for record in sweep.ranking if is_list or record.index < N_STARTUP_TRIALS]
    return median(random) - min(estimate_means(sweep.config, sweep.ranking)) if random else 0.0


def _is_near(entry: Range | Choices | None, own: Value, tuned: Value) -> bool:
    """Return True if a value counts as the tuned one: equal, within `MAX_RANGE_SHARE`, or the nearest step."""
    if own == tuned or not isinstance(entry, Range):
        return own == tuned
    return (
        _measure_distance(entry, own, tuned) <= MAX_RANGE_SHARE
        or abs(float(own) - float(tuned)) <= (entry.step or 0) / 2
    )


def _measure_distance(entry: Range | Choices | None, own: Value | None, tuned: Value) -> float:
    """Return the distance of two values as a share of the searched range.

    Returns:
        0 or 1 for choices; NaN without a range or a found value; infinite where the range has no length, or a log scale
        has no place for the tuned value.
    """
    if entry is None or own is None:
        return math.nan
    if own != tuned and isinstance(entry, Range) and (entry.low == entry.high or (entry.log and float(tuned) <= 0)):
        return math.inf
    return measure_share(entry, own, tuned)
