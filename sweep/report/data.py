"""Load the data of a report: a sweep's records, and the metrics of its target."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eval import datasets
from eval.rows.types import DataError
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import locate_artifacts
from sweep.results.sweep_records import SweepRecords
from sweep.search.study import read_records


@dataclass(frozen=True, kw_only=True)
class ReportData(SweepRecords):
    """A sweep with the metrics of its target.

    Attributes:
        target_metrics: metrics of the target, from which every trial starts; empty if they are not (yet) available.
    """

    target_metrics: Mapping[str, float] = field(default_factory=dict)


def load_report_data(config: SweepConfig, name: str) -> ReportData:
    """Load a sweep in its present state; another process may be running it.

    Raises:
        ConfigError: The sweep's study cannot be opened.
    """
    return ReportData(
        name=name, config=config, records=read_records(config, name), target_metrics=_load_target_metrics(config)
    )


def _load_target_metrics(config: SweepConfig) -> Mapping[str, float]:
    """Load the target's metrics; none if the dataset, whose rows determine the target's folder, cannot be loaded."""
    try:
        return locate_artifacts(config, datasets.load(config.data)).reference_metrics
    except DataError:
        return {}
