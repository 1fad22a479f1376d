"""Logging to MLflow after a sweep: missing trials, files such as the report, and the scores of a checkpoint."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from sweep.config.schema import SweepConfig
from sweep.records import TrackingRun, TrialRecord
from sweep.redaction import redact
from sweep.tracking.address import get_tracking_uri
from sweep.tracking.description import DESCRIPTION_TAG, add_links
from sweep.tracking.labels import format_attempt_key, truncate_texts
from sweep.tracking.metrics import build_metrics, to_milliseconds
from sweep.tracking.runs import RunStatus, SweepRuns
from sweep.tracking.store import get_or_create_experiment, open_client, translate_errors
from sweep.tracking.views import format_view_key


def backfill_sweep(
    config: SweepConfig, name: str, status: RunStatus, records: Sequence[TrialRecord], run_id: str = ""
) -> tuple[int, TrackingRun]:
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
    runs = SweepRuns(config, name, run_id)
    with translate_errors(runs.uri):
        runs.open_sweep_run()
        missing = len(runs.find_missing(records))
        runs.finish(status, records)
    return missing, runs.tracking_run


def attach_files(tracking_run: TrackingRun, folder: Path, files: Sequence[Path], tags: Mapping[str, str]) -> None:
    """Add files and tags to a sweep's run; a repeated call replaces them.

    Args:
        tracking_run: the location of the sweep's run.
        folder: the folder that the artifact paths are relative to.
        files: the files to log as artifacts.
        tags: findings of the sweep, to filter runs by.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    uri = get_tracking_uri()
    with translate_errors(uri):
        client = open_client(uri)
        for path in files:
            above = path.relative_to(folder).parent
            client.log_artifact(tracking_run.run_id, str(path), None if above == Path() else str(above))
        for key, value in truncate_texts(tags).items():
            client.set_tag(tracking_run.run_id, key, value)


def describe_result(tracking_run: TrackingRun, text: str) -> None:
    """Make a text of Markdown the description of a sweep's run, with links to its trials.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    uri = get_tracking_uri()
    with translate_errors(uri):
        client = open_client(uri)
        run = client.get_run(tracking_run.run_id)
        view_key = format_view_key(run.data.tags["sweep"], tracking_run.run_id)
        linked = add_links(text, run.info.experiment_id, view_key)
        client.set_tag(tracking_run.run_id, DESCRIPTION_TAG, truncate_texts({"text": linked})["text"])


def mark_uncounted(tracking_run: TrackingRun, uncounted: Iterable[TrialRecord]) -> None:
    """Give the nested runs of race and report that do not enter the result the tag `counted`, `no`; no others have it.

    Args:
        tracking_run: the location of the sweep's run.
        uncounted: the last attempts of these trials.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    uri, keys = get_tracking_uri(), {format_attempt_key(record) for record in uncounted}
    with translate_errors(uri):
        client = open_client(uri)
        experiment = client.get_run(tracking_run.run_id).info.experiment_id
        own = f"tags.`mlflow.parentRunId` = '{tracking_run.run_id}' and tags.phase != 'search'"
        for run in client.search_runs([experiment], own):
            is_marked, is_uncounted = "counted" in run.data.tags, run.data.tags.get("attempt") in keys
            if is_uncounted and not is_marked:
                client.set_tag(run.info.run_id, "counted", "no")
            elif is_marked and not is_uncounted:
                client.delete_tag(run.info.run_id, "counted")


def log_scores(scores: Mapping[str, Any], path: Path) -> TrackingRun:
    """Log a checkpoint's scores and their file as a run of its own; the same file logged again yields the same run.

    Args:
        scores: the content of a file that `python -m eval.run` wrote.
        path: that file.

    Returns:
        The location of the run.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    uri, experiment = get_tracking_uri(), os.environ.get("MLFLOW_EXPERIMENT_NAME") or "checkpoints"
    with translate_errors(uri):
        run_id = _log_score_run(open_client(uri), experiment, scores, path)
    return TrackingRun(tracking_uri=redact(uri), experiment=experiment, run_id=run_id)


def _log_score_run(client: MlflowClient, experiment: str, scores: Mapping[str, Any], path: Path) -> str:
    place = get_or_create_experiment(client, experiment)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    same = client.search_runs([place], f"tags.scores = '{digest}' and attributes.status = 'FINISHED'")
    if same:
        return str(same[0].info.run_id)
    described = {key: json.dumps(scores[key]) for key in ("data", "template", "versions", "definitions", "left_out")}
    tags = truncate_texts(
        {"scores": digest, "checkpoint": str(scores["checkpoint"]), "git": str(scores["git"])} | described
    )
    run_id = str(client.create_run(place, run_name=Path(scores["checkpoint"]).name, tags=tags).info.run_id)
    client.log_batch(run_id, build_metrics(scores["metrics"], step=0, timestamp=to_milliseconds(time.time())))
    client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id
