"""Logging to MLflow after a sweep: missing trials, files such as the report, and the scores of a checkpoint."""

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
    """Log to MLflow whatever it lacks of a sweep that has ended; a second call adds nothing.

    Args:
        config: the configuration of the sweep.
        name: the sweep's name.
        status: the final status of the parent run.
        records: every attempt at the sweep's trials.
        run_id: the parent run if the study knows it; if empty, it is found by the sweep's folder, or created.

    Returns:
        The number of attempts that were missing, and the location of the runs.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    runs = Runs(config, name, run_id)
    with one_sentence(runs.uri):
        runs.open()
        missing = len(runs.missing(records))
        runs.finish(status, records)
    return missing, runs.logged


def attach(logged: Logged, folder: Path, files: Sequence[Path], tags: Mapping[str, str]) -> None:
    """Add files and tags to a sweep's run; a repeated call replaces them.

    Args:
        tracking_run: the location of the sweep's run.
        folder: the folder that the artifact paths are relative to.
        files: the files to log as artifacts.
        tags: findings of the sweep, to filter runs by.

    Raises:
        TrackingError: MLflow refused or could not be reached.
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
    """Log a checkpoint's scores and their file as a run of its own; the same file logged again yields the same run.

    Args:
        scores: the content of a file that `python -m eval.run` wrote.
        path: that file.

    Returns:
        The location of the run.

    Raises:
        TrackingError: MLflow refused or could not be reached.
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
