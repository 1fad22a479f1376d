"""What is brought to MLflow after a sweep: the trials that it lacks, the report, the scores of a checkpoint."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from sweep.config.schema import SweepConfig
from sweep.records import Logged, Record
from sweep.redaction import redact
from sweep.tracking.runs import Runs, Status, cut, metrics_of, ms
from sweep.tracking.store import client_of, experiment_id, one_sentence, store


def fill(
    config: SweepConfig, name: str, status: Status, records: Sequence[Record], run_id: str = ""
) -> tuple[int, Logged]:
    """Bring MLflow up to the records of a sweep that is over; a second call adds nothing.

    Args:
        config: the sweep.
        name: its name.
        status: how it ended.
        records: every attempt at its trials.
        run_id: its parent run where the ledger knows it; else it is found by the sweep's folder, or made.

    Returns:
        How many of them were missing, and where the runs are.

    Raises:
        TrackingError: MLflow refused, or could not be reached.
    """
    runs = Runs(config, name, run_id)
    with one_sentence(runs.uri):
        runs.open()
        missing = len(runs.missing(records))
        runs.finish(status, records)
    return missing, runs.logged


def attach(logged: Logged, folder: Path, files: Sequence[Path], tags: Mapping[str, str]) -> None:
    """Add files and tags to a sweep's run; the same ones again replace themselves.

    Args:
        logged: where the sweep's run is.
        folder: from which the artifacts' paths are taken.
        files: become artifacts.
        tags: what the sweep found, to filter by.

    Raises:
        TrackingError: MLflow refused, or could not be reached.
    """
    uri = store()
    with one_sentence(uri):
        client = client_of(uri)
        for path in files:
            above = path.relative_to(folder).parent
            client.log_artifact(logged.run_id, str(path), None if above == Path() else str(above))
        for key, value in cut(tags).items():
            client.set_tag(logged.run_id, key, value)


def log_scores(scores: Mapping[str, Any], path: Path) -> Logged:
    """Log a checkpoint's scores as a run of its own, with their file; the same scores again are the same run.

    Args:
        scores: what `python -m eval.run` wrote.
        path: the file that holds them.

    Raises:
        TrackingError: MLflow refused, or could not be reached.
    """
    uri, experiment = store(), os.environ.get("MLFLOW_EXPERIMENT_NAME") or "checkpoints"
    with one_sentence(uri):
        run_id = _score_run(client_of(uri), experiment, scores, path)
    return Logged(tracking_uri=redact(uri), experiment=experiment, run_id=run_id)


def _score_run(client: MlflowClient, experiment: str, scores: Mapping[str, Any], path: Path) -> str:
    place = experiment_id(client, experiment)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    same = client.search_runs([place], f"tags.scores = '{digest}' and attributes.status = 'FINISHED'")
    if same:
        return str(same[0].info.run_id)
    described = {key: json.dumps(scores[key]) for key in ("data", "template", "versions", "definitions", "left_out")}
    tags = cut({"scores": digest, "checkpoint": str(scores["checkpoint"]), "git": str(scores["git"])} | described)
    run_id = str(client.create_run(place, run_name=Path(scores["checkpoint"]).name, tags=tags).info.run_id)
    client.log_batch(run_id, metrics_of(scores["metrics"], step=0, timestamp=ms(time.time())))
    client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id
