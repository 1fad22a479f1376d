"""Check that a model's folder can be read without running code from it: weights in safetensors, no adapter.

A pickle, such as a `.bin`, `.pt` or `.ckpt` file, runs the code of its writer's choice when it is read.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from eval.rows.types import DataError

WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
"""File of all weights, or index of the files that hold parts of them."""
ADAPTER_FILE = "adapter_config.json"
ADAPTER_MESSAGE = f"holds an adapter ({ADAPTER_FILE}): merge it into its model first, or give that model"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def check_folder(folder: Path) -> None:
    """Refuse a folder whose weights are not all safetensors; only the headers of the files are read.

    Raises:
        DataError: they are not; the message names what the folder has instead.
    """
    if (folder / ADAPTER_FILE).is_file():
        raise DataError(f"{folder} {ADAPTER_MESSAGE}")
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is no checkpoint: it has no config.json")
    for file in _list_weight_files(folder):
        _check_header(file)


def check_adapter_weights(folder: Path, name: str) -> None:
    """Refuse the folder of an adapter whose weights, in a file of this name, are not there as safetensors.

    Raises:
        DataError: they are not; the message names what the folder has instead.
    """
    if not (folder / name).is_file():
        raise DataError(_describe_missing(str(folder), [file.name for file in folder.iterdir()], name))
    _check_header(folder / name)


def _check_header(file: Path) -> None:
    try:
        safe_open(file, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file} is no safetensors file ({error})") from error


def _list_weight_files(folder: Path) -> Iterable[Path]:
    """List the files of the weights."""
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        return [_resolve_listed(folder, name) for name in sorted(_read_index(folder / INDEX_FILE))]
    raise DataError(_describe_missing(str(folder), [file.name for file in folder.iterdir()]))


def check_file_names(path: str, names: Sequence[str]) -> None:
    """Refuse a repository by the names of its files, if they are known.

    Raises:
        DataError: it is an adapter, or no file is named as weights in safetensors are.
    """
    if ADAPTER_FILE in names:
        raise DataError(f"{path} {ADAPTER_MESSAGE}")
    if names and not {WEIGHTS_FILE, INDEX_FILE} & {*names}:
        raise DataError(_describe_missing(path, names))


def _describe_missing(path: str, names: Sequence[str], wanted: str = WEIGHTS_FILE) -> str:
    """Describe the missing safetensors, and the pickle that is there instead, for an error message."""
    pickles = sorted(name for name in names if name.endswith(PICKLE_SUFFIXES))
    why = f"only {pickles[0]}, a pickle, which can run code when it is read" if pickles else "no weights at all"
    return f"{path} has no {wanted}, {why}"


def _read_index(index: Path) -> set[str]:
    """Read the names of the files in the index."""
    try:
        return {str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{index} lists no files of weights") from error


def _resolve_listed(folder: Path, name: str) -> Path:
    if not re.fullmatch(r"[\w.-]+\.safetensors", name):
        raise DataError(f"{folder / INDEX_FILE} names {name!r}: only a safetensors file of the same folder is read")
    return folder / name
