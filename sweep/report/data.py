"""What a report is made from: a sweep, and what is known of its target."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eval import datasets
from eval.rows.types import DataError
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import plan
from sweep.results.statistics import Sweep
from sweep.search.study import peek


@dataclass(frozen=True, kw_only=True)
class Reported(Sweep):
    """A sweep with the metrics of its target.

    Attributes:
        reference: metrics of the target, from which every trial starts; empty where they are not there (yet).
    """

    reference: Mapping[str, float] = field(default_factory=dict)


def looked_up(config: SweepConfig, name: str) -> Reported:
    """A sweep as it is now in its storage, whether or not another process is running it.

    Raises:
        ConfigError: its ledger cannot be opened.
    """
    return Reported(name=name, config=config, records=peek(config, name), reference=_reference(config))


def _reference(config: SweepConfig) -> Mapping[str, float]:
    """The target's metrics; none where the rows, by which its folder is addressed, cannot be had any more."""
    try:
        return plan(config, datasets.load(config.data)).metrics
    except DataError:
        return {}
