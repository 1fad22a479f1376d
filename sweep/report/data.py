"""Load the data of a report: a sweep's records, and the metrics of its target."""

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
        target_metrics: metrics of the target, from which every trial starts; empty if they are not (yet) available.
    """

    reference: Mapping[str, float] = field(default_factory=dict)


def looked_up(config: SweepConfig, name: str) -> Reported:
    """Load a sweep in its present state; another process may be running it.

    Raises:
        ConfigError: The sweep's study cannot be opened.
    """
    return Reported(name=name, config=config, records=peek(config, name), reference=_reference(config))


def _reference(config: SweepConfig) -> Mapping[str, float]:
    """Load the target's metrics; none if the dataset, whose rows determine the target's folder, cannot be loaded."""
    try:
        return plan(config, datasets.load(config.data)).metrics
    except DataError:
        return {}
