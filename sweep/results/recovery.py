"""Whether a sweep found the paper's tuned setting again: a verdict, and what it rests on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sweep.config.schema import Choices, Range, SweepConfig
from sweep.records import Record, Setting, Value, line
from sweep.results.statistics import Difference, difference, found, repeats
from sweep.search.paper import departures, paper_setting, qualifiers

NEAR = 0.1
"""Share of its searched range within which a value is the tuned one again."""
ENOUGH = 2
"""Fresh seeds from which on there is an interval."""
Verdict: TypeAlias = Literal["recovered", "within noise", "better found", "not recovered", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """The best setting that a search found by itself, beside the one that the paper tuned.

    Verdicts, by the 95 % interval of the difference on fresh seeds: `recovered`, it holds 0 and each searched value is
    near the tuned one, all others the same; `within noise`, it holds 0 but a value is farther away: if their scores
    differ, then by too little to be seen with so many seeds; `better found` and `not recovered`, it leaves out 0 in
    favour of the found or of the tuned setting; `undecided`, there is none.

    Attributes:
        objective: what was tuned.
        model: the model that was unlearned.
        split: the split of the paper's table.
        found: the best setting of the search, less the tuned one that was handed to it; None without one.
        tuned: the paper's, with a value for all that the sweep searches or fixes.
        distance: by hyper-parameter, the share of its searched range that lies between the two, on a log scale where
            the search has one; from 0, and above 1 only where the tuned value lies outside; of choices 0 or 1; NaN
            where it is not searched, or nothing was found.
        difference: the tuned setting's scores above the found one's on the same fresh seeds (positive: found is
            better); None where the two share none.
        verdict: one of the above.
        reason: why it is undecided; else empty.
        qualifiers: `stand-in` where model or data is not the paper's, `other recipe` where the recipe is not.
        departures: where the recipe is not the paper's.
    """

    objective: str
    model: str
    split: str
    found: Setting | None
    tuned: Setting
    distance: Mapping[str, float]
    difference: Difference | None
    verdict: Verdict
    reason: str
    qualifiers: Sequence[str]
    departures: Sequence[str]

    @property
    def sentence(self) -> str:
        """The verdict with its evidence, for people."""
        qualified = f" ({', '.join(self.qualifiers)})" if self.qualifiers else ""
        evidence = self.reason or _evidence(self.found, self.tuned, self.difference)
        return f"{self.objective} on {self.model}, {self.split}{qualified}: {self.verdict}: {evidence}."


def recovery(config: SweepConfig, records: Sequence[Record]) -> Recovery | None:
    """What a sweep says of the paper's setting, as far as it has come.

    Returns:
        None where the paper has no setting for the sweep, or the sweep searches nothing.
    """
    tuned, best = paper_setting(config), found(config, records)
    if tuned is None or not config.space:
        return None
    own = None if best is None else {name: best.setting[name] for name in tuned}
    gap = difference(repeats(records, own), repeats(records, tuned))
    verdict, reason = _judged(config, own, tuned, gap)
    return Recovery(
        objective=config.objective,
        model=config.model.name,
        split=config.data.paper_split,
        found=own,
        tuned=tuned,
        distance={name: _distance(config.space.get(name), (own or {}).get(name), tuned[name]) for name in tuned},
        difference=gap,
        verdict=verdict,
        reason=reason,
        qualifiers=qualifiers(config),
        departures=departures(config),
    )


def _judged(config: SweepConfig, own: Setting | None, tuned: Setting, gap: Difference | None) -> tuple[Verdict, str]:
    """The verdict, and why it is undecided."""
    if own is None:
        return "undecided", "the search came to no setting by itself"
    if own == tuned:
        return "recovered", ""
    if gap is None or gap.pairs < ENOUGH:
        pairs = 0 if gap is None else gap.pairs
        return "undecided", f"it takes {ENOUGH} fresh seeds on which both settings finished, and there are {pairs}"
    if gap.tied:
        near = all(_near(config.space.get(name), own[name], tuned[name]) for name in tuned)
        return "recovered" if near else "within noise", ""
    return "better found" if gap.mean > 0 else "not recovered", ""


def _near(entry: Range | Choices | None, own: Value, tuned: Value) -> bool:
    """Whether a value is the tuned one again: it itself, one near it, or the nearest one that the steps allow."""
    if own == tuned or not isinstance(entry, Range):
        return own == tuned
    return _distance(entry, own, tuned) <= NEAR or abs(float(own) - float(tuned)) <= (entry.step or 0) / 2


def _distance(entry: Range | Choices | None, own: Value | None, tuned: Value) -> float:
    """The share of the searched range between two values; infinite where it has no length, or no place for one."""
    if entry is None or own is None:
        return math.nan
    if own == tuned or isinstance(entry, Choices):
        return float(own != tuned)
    if entry.low == entry.high or (entry.log and float(tuned) <= 0):
        return math.inf
    low, high, one, other = map(math.log if entry.log else float, (entry.low, entry.high, float(own), float(tuned)))
    return abs(one - other) / (high - low)


def _evidence(own: Setting | None, tuned: Setting, gap: Difference | None) -> str:
    """Both settings and their scores, of which a tie also says what it could not have seen."""
    if own is None or own == tuned or gap is None:
        return f"the search came to the tuned {line(tuned)} by itself"
    way, sign = ("lower", 1) if gap.mean >= 0 else ("higher", -1)
    low, high = sorted((sign * gap.low, sign * gap.high))
    unseen = f"; differences below {gap.reach:.3f} cannot be told from 0" if gap.tied else ""
    return (
        f"{line(own)} scores {abs(gap.mean):.3f} {way} [{low:.3f}, {high:.3f}] than the tuned {line(tuned)}"
        f" over {gap.pairs} seeds{unseen}"
    )
