"""Checks of what a sweep names: the databases, its model, its rows; and of the folder in which it starts.

Study and MLflow have a database each, model and rows can be loaded, the model has enough positions for the rows, and a
trial has enough steps to change the model.
"""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eval.models import hub
from eval.rows.types import DataError, Dataset
from sweep.config.messages import nearest_hint
from sweep.config.model_schema import is_target
from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Choices, Range
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def check_packages() -> None:
    """Refuse a working directory with other packages of our packages' names: Ray's workers would import those."""
    for name, own in (("eval", "suite.py"), ("objectives", "_base.py")):
        there = Path.cwd() / name
        is_other = (there / "__init__.py").is_file() and not (there / own).is_file()
        if is_other or there.with_suffix(".py").is_file():
            raise ConfigError(
                f"{there} is another package called {name}, which Ray's workers would take for this program's: start in"
                " another folder."
            )


def check_databases(configs: Mapping[str, SweepConfig]) -> None:
    """Refuse a tracking URI that never works, and one that names the database of a sweep; the key is a sweep's name."""
    from sweep.search.storage import locate_database
    from sweep.services.databases import is_same_database
    from sweep.tracking.address import check_tracking_uri, get_tracking_uri, is_database

    uri = get_tracking_uri()
    for name, config in configs.items():
        url = locate_database(config, name)
        if is_database(uri) and is_same_database(url, uri):
            raise ConfigError(f"ledger = {url!r}: MLflow's database is there; give the study one of its own.")
    check_tracking_uri()


def check_row_lengths(config: SweepConfig, dataset: Dataset) -> None:
    """Refuse rows that are longer than the model's positions."""
    from eval.rows import length_check

    def load_tokenizer() -> "tuple[PreTrainedTokenizerFast, int | None]":
        from sweep.prepare.cost import load_model_info

        own = load_model_info(config.model, config.target, dataset, config.train.attention)
        return own.tokenizer, getattr(own.architecture, "max_position_embeddings", None)

    template, positions = config.model.row_template, _read_positions(config)
    # A token has at least one byte of the text, the template's included.
    fitting = positions - len(f"{template.question}{template.answer}".encode())
    unchecked = min(fitting, length_check.MAX_UNCHECKED_BYTES)
    length_check.check_lengths(dataset, template, load_tokenizer, unchecked)


def check_lora_targets(config: SweepConfig, dataset: Dataset) -> None:
    """Refuse adapters for layers that the model's blocks do not have as linear ones; no weight is read."""
    for key, lora in (("train.lora", config.train.lora), ("target.lora", config.target.lora)):
        if lora is None:
            continue
        names = _list_linear_layers(config, dataset, key)
        ends = sorted({name.rsplit(".", 1)[-1] for name in names})
        for target in lora.targets or ():
            if not any(is_target(name, (target,)) for name in names):
                raise ConfigError(
                    f"{key}.targets = {target!r} must be a linear layer of the model's blocks: allowed are"
                    f" {', '.join(ends)}{nearest_hint(target, ends)}."
                )


def _list_linear_layers(config: SweepConfig, dataset: Dataset, key: str) -> Collection[str]:
    """Return the names of the linear layers of the model's blocks.

    Raises:
        ConfigError: the model has none that adapters could be trained for.
    """
    import torch

    from sweep.prepare.cost import load_model_info
    from sweep.prepare.memory import make_bare_model
    from sweep.training.lora import find_linear_layers

    own = load_model_info(config.model, config.target, dataset, config.train.attention)
    try:
        with torch.device("meta"):
            names = find_linear_layers(make_bare_model(own.architecture, torch.float32, config.train.attention))
    except DataError as error:
        raise ConfigError(f"{key}: {error}.") from error
    if not names:
        raise ConfigError(f"{key} must be null: a model of type {own.architecture.model_type} has no linear layers.")
    return names


def _read_positions(config: SweepConfig) -> float:
    """Return the number of positions in the configuration of the model at `model.path`; infinite where not known."""
    if config.model.path is None:
        return math.inf
    from eval.models.checkpoint import load_config

    try:
        found = getattr(load_config(config.model.path, config.model.revision), "max_position_embeddings", None)
    except hub.HubUnreachableError:  # a dry run
        return math.inf
    return math.inf if found is None else float(found)


def check_steps(config: SweepConfig, dataset: Dataset) -> None:
    """Refuse trials of a single step whose learning rate is 0: none of them would change the model."""
    epochs, rows, batch = _find_fewest_epochs(config), len(dataset.forget), config.train.batch
    if config.train.warmup_from == 0 and epochs * rows < 2 * batch:
        raise ConfigError(
            f"train.epochs = {epochs} with {rows} forget rows and train.batch = {batch} gives a trial one step, whose"
            " learning rate is 0 where train.warmup_from = 0 (recipe=paper), so that it changes nothing: allowed are"
            f" train.epochs of at least {-(-2 * batch // rows)}, or train.warmup_from = 1 (recipe=default)."
        )


def _find_fewest_epochs(config: SweepConfig) -> int:
    """Return the smallest number of epochs that a setting of the sweep can have."""
    match config.space.get("train.epochs"):
        case Range(low=low):
            return int(low)
        case Choices(choices=choices):
            return min(map(int, choices))
        case None:
            return config.with_setting(config.fixed).train.epochs


def check_model_loadable(config: SweepConfig) -> None:
    """Refuse a model that cannot be loaded or trained, or has another number of layers; no weight is read.

    Raises:
        ConfigError: it is missing or no causal language model, has pickled or quantised weights, lacks a tokenizer or
            the attention of `train.attention`, or has another number of layers than `model.layers`.
    """
    for block, path, revision in (
        ("model", config.model.path, config.model.revision),
        ("target", config.target.path, config.target.revision),
        ("retain_model", config.retain_model.path, config.retain_model.revision),
    ):
        if path is None:
            continue
        from eval.models.checkpoint import count_layers

        try:
            _check_safetensors(path, revision)
            found = count_layers(path, revision)
            _check_trainable(path, revision, config.train.attention)
        except DataError as error:
            if isinstance(error, hub.HubUnreachableError) and config.model.architecture is not None:
                continue  # `hub_commits.check_commits` refuses all but a dry run
            raise ConfigError(f"{block}.path = {error}") from error
        if found != config.model.layers:
            raise ConfigError(
                f"model.layers = {config.model.layers} must be {found}, as {block}.path = {path!r} has, or null, which"
                " reads it there."
            )


def _check_trainable(path: str, revision: str | None, attention: str) -> None:
    """Refuse a model with quantised weights, without a tokenizer, or without that attention or an output layer."""
    import torch

    from eval.models.checkpoint import find_quantisation, load_config, load_tokenizer
    from sweep.prepare.memory import make_bare_model

    architecture = load_config(path, revision)
    if (method := find_quantisation(architecture)) is not None:
        raise DataError(f"{path} is quantised ({method}): its weights cannot be trained; give the unquantised model")
    load_tokenizer(path, revision)
    with torch.device("meta"):
        if make_bare_model(architecture, torch.float32, attention).get_output_embeddings() is None:
            raise DataError(f"{path} has no single output layer ({architecture.model_type}), whose logits are trained")


def _check_safetensors(path: str, revision: str | None) -> None:
    """Refuse a folder or a repository without safetensors."""
    from eval.models import adapters, safetensors_check

    if Path(path).is_dir():
        adapters.check_model_folder(Path(path))
    elif hub.is_repo_id(path, "model"):
        safetensors_check.check_file_names(path, hub.list_files(path, revision))
