"""Read the number of a model's layers where `model.layers` or `model.deepest` is null."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from eval.models.hub import HubUnreachableError
from eval.rows.types import DataError
from sweep.errors import ConfigError


def fill_layers(config: DictConfig) -> None:
    """Set `model.layers` and `model.deepest` where they are null, so that other keys can repeat their values.

    Raises:
        ConfigError: the configuration of `model.path` cannot be read.
    """
    model = config.get("model")
    if not isinstance(model, DictConfig):
        return
    raw: Any = OmegaConf.to_container(model)
    if raw.get("layers", 0) is None:
        model.layers = _count_layers(raw)
    if raw.get("deepest", 0) is None and isinstance(layers := OmegaConf.select(config, "model.layers"), int):
        model.deepest = layers - 1


def _count_layers(model: dict[str, Any]) -> int | None:
    """Return the number of layers of the block's path, or else of its shape; None if it has neither."""
    path, revision, shape = (model.get(key) for key in ("path", "revision", "shape"))
    if not isinstance(path, str) or path == "???" or "${" in path:
        return shape.get("layers") if isinstance(shape, dict) else None
    from eval.models.checkpoint import count_layers

    folder = Path(path).expanduser()
    try:
        return count_layers(folder if folder.is_dir() else path, revision if isinstance(revision, str) else None)
    except DataError as error:
        hint = "" if folder.is_dir() else ": give model.layers=N and model.deepest=N-1 if only the cluster has it"
        if isinstance(error, HubUnreachableError):
            hint = f"{hint}, else model.path=FOLDER"
        raise ConfigError(f"model.path = {str(error).rstrip('.')}{hint}.") from error
