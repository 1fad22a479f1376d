"""Hand-made trials for the tests of MLflow, logged as the driver does, and the resulting runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.records import TrialRecord
from sweep.tracking.runs import SweepRuns
from sweep.tracking.tracker import Tracker

START = 1_700_000_000.0
"""Start time of the first trial of the hand-made sweeps, in seconds since the epoch."""


def record(index: int, **fields: Any) -> TrialRecord:
    """Make the record of a finished trial of ten seconds with two points on its curve."""
    default: dict[str, Any] = {
        "phase": "search",
        "index": index,
        "setting": {"alpha": 1.5, "beta": 5},
        "seed": 0,
        "state": "finished",
        "metrics": {"score": 0.25, "forget/es": 0.125},
        "curve": [{"epoch": 1, "loss": -0.5, "forget/es": 0.75}, {"epoch": 2, "loss": -1.5, "forget/es": 0.5}],
        "started": START + index,
        "ended": START + index + 10,
        "worker": "host:1",
    }
    return TrialRecord(**default | fields)


def begun(whole: TrialRecord) -> TrialRecord:
    """Return the record as it was when its trial began."""
    return replace(whole, state="running", metrics={}, curve=[], reason="", ended=0.0, worker="")


def live(tracker: Tracker | SweepRuns, whole: TrialRecord) -> None:
    """Log a trial from its start to its end, as the driver does."""
    tell = tracker.log_attempt if isinstance(tracker, SweepRuns) else tracker.on_trial_update
    for points in range(len(whole.curve) + 1):
        tell(replace(begun(whole), curve=whole.curve[:points]))
    tell(whole)


def client(folder: Path) -> MlflowClient:
    """Return a client of the MLflow database in a folder."""
    return MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


def runs(store: MlflowClient, experiment: str = "toy-authors") -> tuple[list[Run], list[Run]]:
    """Return the parents and the nested runs of an experiment, oldest first."""
    found = store.get_experiment_by_name(experiment)
    assert found is not None
    everything = list(store.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]))
    parents = [run for run in everything if "mlflow.parentRunId" not in run.data.tags]
    return parents, [run for run in everything if run not in parents]
