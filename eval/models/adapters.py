"""Adapters (LoRA) in a folder, over a base in another folder or on the hub, into which they are merged when loaded."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.models import hub, safetensors_check
from eval.models.safetensors_check import ADAPTER_FILE
from eval.rows.types import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedModel  # takes seconds to import

ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"
ADAPTER_KIND = "LORA"
"""The only type of adapter that is merged here, as adapter_config.json names it."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter in a folder.

    Attributes:
        folder: its folder.
        base: the model that it adapts, an absolute folder or a hub id.
        revision: the base's commit on the hub; None: the newest.
    """

    folder: Path
    base: str
    revision: str | None

    @contextmanager
    def name_base(self) -> Iterator[None]:
        """Name the adapter in an error about its base.

        Raises:
            DataError: the base cannot be had.
        """
        try:
            yield
        except DataError as error:
            raise DataError(
                f"{self.folder} holds an adapter ({ADAPTER_FILE}) whose base cannot be had: {error}"
            ) from error


def find_adapter(path: str | Path) -> Adapter | None:
    """Return the adapter in a folder; None for any other folder, and for a hub id.

    Raises:
        DataError: it is no LoRA in safetensors, or names no base.
    """
    folder = Path(path)
    if not (folder / ADAPTER_FILE).is_file():
        return None
    values = _read_description(folder / ADAPTER_FILE)
    if (kind := values.get("peft_type")) != ADAPTER_KIND:
        raise DataError(f"{folder} holds an adapter of type {kind}: only {ADAPTER_KIND} is merged here")
    safetensors_check.check_adapter_weights(folder, ADAPTER_WEIGHTS_FILE)
    base, revision = values.get("base_model_name_or_path"), values.get("revision")
    return Adapter(
        folder=folder, base=_locate_base(folder, base), revision=revision if isinstance(revision, str) else None
    )


def _read_description(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{file} is no block of keys and values")
    return found


def _locate_base(folder: Path, base: object) -> str:
    """Return the base that an adapter names: an absolute folder, one beside the adapter, or a hub id.

    Raises:
        DataError: it names none of them.
    """
    if isinstance(base, str) and base and (folder / base).is_dir():
        if (folder / base / ADAPTER_FILE).is_file():
            raise DataError(f"{folder} holds an adapter whose base, {base!r} in {ADAPTER_FILE}, is an adapter too")
        return str((folder / base).resolve())
    if isinstance(base, str) and hub.is_repo_id(base, "model"):
        return base
    raise DataError(
        f"{folder} holds an adapter whose base_model_name_or_path, {base!r} in {ADAPTER_FILE}, is no folder"
        " (absolute, or from the adapter's own) and no id of the hub: write the base's there"
    )


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that cannot be read without running code from it, or an adapter whose base is such a folder.

    Raises:
        DataError: the weights are not all safetensors, or an adapter's base is not there.
    """
    if (adapter := find_adapter(folder)) is None:
        safetensors_check.check_folder(folder)
        return
    with adapter.name_base():
        if Path(adapter.base).is_dir():
            safetensors_check.check_folder(Path(adapter.base))
        else:
            safetensors_check.check_file_names(adapter.base, hub.list_files(adapter.base, adapter.revision))


def merge_adapter(base: "PreTrainedModel", adapter: Adapter) -> "PreTrainedModel":
    """Merge an adapter into its base, in place, and return the model; each sum is computed in float32."""
    from peft import PeftModel  # imported only for an adapter

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Found missing adapter keys")
        adapted = PeftModel.from_pretrained(base, str(adapter.folder), torch_device="cpu")
    merged: PreTrainedModel = adapted.merge_and_unload()
    merged.requires_grad_(True)  # peft has frozen the base
    return merged
