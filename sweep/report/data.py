"""Load the data of a report: a sweep's records, and the metrics of its target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from eval import datasets
from eval.rows.types import DataError
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import locate_artifacts
from sweep.results.saved_models import SavedModel, read_models
from sweep.results.sweep_records import SweepRecords
from sweep.search.study import read_records, read_revisions


@dataclass(frozen=True, kw_only=True)
class ReportData(SweepRecords):
    """A sweep with the metrics of its target.

    Attributes:
        target_metrics: metrics of the target, from which every trial starts; empty if they are not (yet) available.
        n_holdout: number of the holdout rows; None if the dataset cannot be loaded.
        n_forget: number of the forget rows; None if the dataset cannot be loaded.
        models: the models in its folder.
        revisions: the revisions of the code that ran it, in their order; empty where they are not known.
    """

    target_metrics: Mapping[str, float] = field(default_factory=dict)
    n_holdout: int | None = None
    n_forget: int | None = None
    models: Sequence[SavedModel] = ()
    revisions: Sequence[str] = ()


def load_report_data(config: SweepConfig, name: str) -> ReportData:
    """Load a sweep in its present state; another process may be running it.

    Raises:
        ConfigError: The sweep's study cannot be opened.
    """
    bare = ReportData(
        name=name,
        config=config,
        records=read_records(config, name),
        models=read_models(config.storage / name),
        revisions=read_revisions(config, name),
    )
    try:
        rows = datasets.load(config.data)
        metrics = locate_artifacts(config, rows).reference_metrics
    except DataError:  # the rows, which determine the target's folder, or a local model are gone
        return bare
    return replace(bare, target_metrics=metrics, n_holdout=len(rows.holdout), n_forget=len(rows.forget))
