"""Trial records for the tests, as a study would hold them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord

if TYPE_CHECKING:
    from sweep.results.sweep_records import SweepRecords

# Slow imports are inside the functions, because every worker of toy trials imports this file.

PAPER: Setting = {"alpha": 1.5, "beta": 7.0}
"""Setting of the paper's WTNPO for forget10, which serves as the paper's setting of the toy sweep."""


def trial(index: int, setting: Setting, score: float, **fields: Any) -> TrialRecord:
    """Make the record of a finished search trial."""
    default: dict[str, Any] = {"phase": "search", "seed": 0, "state": "finished", "metrics": {"score": score}}
    return TrialRecord(index=index, setting=setting, **default | fields)


def repeats(first: int, setting: Setting, *scores: float, **metrics: float) -> list[TrialRecord]:
    """Make the repeats of a setting on seeds 1, 2, ..., with these scores, and the same other metrics on each."""
    return [
        trial(first + i, setting, score, phase="finalist", seed=1 + i, metrics={"score": score} | metrics)
        for i, score in enumerate(scores)
    ]


def races(config: SweepConfig, setting: Setting, *scores: float, first: int = 0) -> list[TrialRecord]:
    """Make the runs of a setting in the race, with these scores on the first race seeds."""
    from sweep.search.race import list_race_seeds

    seeds = list_race_seeds(config)
    return [
        trial(first + i, setting, score, phase="race", seed=seeds[i], metrics={"score": score})
        for i, score in enumerate(scores)
    ]


def sides(forget: float, retain: float) -> dict[str, float]:
    """Return ES of both sides, the same for exact and paraphrased rows."""
    values = {"forget": forget, "retain": retain}
    return {f"{side}/{kind}": value for side, value in values.items() for kind in ("es", "es_paraphrase")}


def sweep_of(config: SweepConfig, records: Sequence[TrialRecord], name: str = "mine") -> "SweepRecords":
    """A sweep with these trials."""
    from sweep.results.sweep_records import SweepRecords

    return SweepRecords(name=name, config=config, records=records)
