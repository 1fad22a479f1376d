"""Saved models in MLflow: each is a logged model of the sweep's run that names its folder, and may be registered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.exceptions import MlflowException

from sweep.records import TrackingRun
from sweep.tracking.address import get_tracking_uri
from sweep.tracking.labels import truncate_texts
from sweep.tracking.store import open_client, translate_errors

MODEL_TYPE = "unlearned"
"""Type of the logged models, by which MLflow filters."""
ATTEMPT_TAG = "trial"
"""Tag of a logged model that tells the trial and the weights: a model is logged once."""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A saved model as MLflow shows it.

    Attributes:
        name: its name.
        trial: the attempt and the kind of weights, different for each model.
        folder: its folder.
        card: the model card in the folder.
        params: setting and mix.
        tags: folder, size and sweep.
    """

    name: str
    trial: str
    folder: Path
    card: Path
    params: Mapping[str, str]
    tags: Mapping[str, str]


def log_models(tracking_run: TrackingRun, models: Sequence[ModelEntry], registry: str | None) -> None:
    """Log saved models to the sweep's run: their cards, and by tags the folders, which are not copied.

    Args:
        tracking_run: the location of the sweep's run.
        models: the models.
        registry: name in the model registry of which each becomes a version, copied to MLflow; None: no version.

    Raises:
        TrackingError: MLflow refused or could not be reached.
    """
    if not models:
        return
    uri = get_tracking_uri()
    with translate_errors(uri):
        client = open_client(uri)
        experiment = client.get_run(tracking_run.run_id).info.experiment_id
        own = f"source_run_id = '{tracking_run.run_id}'"
        logged = [*client.search_logged_models([experiment], own)]
        there = {model.tags.get(ATTEMPT_TAG) for model in logged}
        for model in models:
            if model.trial not in there:
                _log_model(client, experiment, tracking_run.run_id, model, registry)
            _mark_replaced(client, model, logged)


def _log_model(client: MlflowClient, experiment: str, run_id: str, model: ModelEntry, registry: str | None) -> None:
    """Log one model, and register it if asked; half of it is none, since it is ready only at the end."""
    logged = client.create_logged_model(
        experiment, _format_name(model), run_id, truncate_texts(model.tags), truncate_texts(model.params), MODEL_TYPE
    )
    if registry is None and model.card.is_file():  # it is written at the end of a sweep
        client.log_model_artifact(logged.model_id, str(model.card))
    elif registry is not None:
        client.log_model_artifacts(logged.model_id, str(model.folder))
        _register_model(client, registry, run_id, logged, model.tags)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    client.set_logged_model_tags(logged.model_id, {ATTEMPT_TAG: model.trial})
    client.finalize_logged_model(logged.model_id, "READY")


def _mark_replaced(client: MlflowClient, model: ModelEntry, logged: Sequence[LoggedModel]) -> None:
    """Say of models logged earlier if their folder holds them or, as that of a former best setting, this one."""
    for one in logged:
        if one.name == _format_name(model) and ATTEMPT_TAG in one.tags:
            is_this = one.tags[ATTEMPT_TAG] == model.trial
            place = model.tags["path"] if is_this else f"replaced by the model of {model.trial}"
            if one.tags.get("path") != place:
                client.set_logged_model_tags(one.model_id, {"path": place})


def _format_name(model: ModelEntry) -> str:
    return model.name.replace(".", "-")  # MLflow refuses the dot of a comparison's sweeps


def _register_model(
    client: MlflowClient, registry: str, run_id: str, logged: LoggedModel, tags: Mapping[str, str]
) -> None:
    """Make the logged model a new version of the registered one, which is created if it is missing."""
    try:
        client.create_registered_model(registry)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(
        registry, logged.artifact_location, run_id, truncate_texts(tags), model_id=logged.model_id
    )
