"""Load models and tokenizers from folders and hub ids: safetensors only, without running code from a checkpoint.

Files on the hub are first fetched into a folder of its cache; transformers itself never uses the network.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from eval.models import hub, safetensors_check
from eval.rows.types import DataError

DESCRIPTION_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Files of a repository that describe its model and tokenizer."""
WEIGHT_FILES = ("*.safetensors",)
MAX_ERROR_CHARS = 200
"""Maximum length of an error of transformers in a message."""


def load_model(
    path: str | Path,
    revision: str | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> PreTrainedModel:
    """Load a causal language model in evaluation mode (dropout off, for training too).

    Args:
        path: folder or hub id.
        revision: commit on the hub; None: the newest.
        dtype: of the weights.
        attention: name of an attention implementation in transformers; None: the model's default.

    Raises:
        DataError: there is no such model, its weights are incomplete or not safetensors, it needs code of its own, or
            it lacks that attention implementation.
    """
    folder = _find_folder(path, revision, [*DESCRIPTION_FILES, *WEIGHT_FILES])
    safetensors_check.check_folder(folder)
    config = load_config(folder)
    with _translate_errors(path):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    model, report = loaded
    _check_complete(path, [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model


def _check_complete(path: str | Path, lacking: Sequence[str]) -> None:
    """Refuse a model with weights that the checkpoint lacks, which transformers fills with random numbers."""
    if lacking:
        raise DataError(
            f"{path} cannot be loaded: {len(lacking)} of the weights that its config.json asks for are not there or"
            f" have another shape, first {min(lacking)}"
        )


def load_config(path: str | Path, revision: str | None = None) -> PreTrainedConfig:
    """Load a model's configuration, without its weights.

    Raises:
        DataError: there is no such model, or its configuration names code from the hub or other files of weights.
    """
    folder = _find_folder(path, revision, DESCRIPTION_FILES)
    with _translate_errors(path):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    assert isinstance(config, PreTrainedConfig)
    if "/" in str(config._attn_implementation):
        raise DataError(f"{path} cannot be loaded: its attention is code from the hub, which is never run")
    if getattr(config, "transformers_weights", None) is not None:
        raise DataError(f"{path} cannot be loaded: its config.json names weights of its own (transformers_weights)")
    return config


def make_empty_model(config: PreTrainedConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """Make a model from its configuration, with meaningless weights, in evaluation mode.

    Raises:
        DataError: it needs code of its own, or lacks that attention implementation.
    """
    with _translate_errors(config.name_or_path or config.model_type):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
        )
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model


def count_layers(path: str | Path, revision: str | None = None) -> int:
    """Return the number of a model's transformer layers, read from its configuration.

    Raises:
        DataError: there is no such model, or its configuration does not have the number.
    """
    config = load_config(path, revision)
    if not isinstance(found := getattr(config, "num_hidden_layers", None), int):
        raise DataError(f"{path} cannot be loaded: its config.json says no number of layers")
    return found


def load_tokenizer(path: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load the model's fast tokenizer, which maps each token to the characters that it covers.

    Raises:
        DataError: the model has no fast tokenizer.
    """
    folder = _find_folder(path, revision, DESCRIPTION_FILES)
    with _translate_errors(path):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"{path} has no fast tokenizer (tokenizer.json), which tells where an answer's tokens begin.")
    return tokenizer


def _find_folder(path: str | Path, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the folder itself, or that of the hub's cache with the files that match."""
    if Path(path).is_dir():
        return Path(path)
    if not hub.is_repo_id(str(path), "model"):
        raise DataError(f"{path} cannot be loaded: there is no such folder.")
    return hub.fetch_files(str(path), "model", revision, patterns)


@contextmanager
def _translate_errors(path: str | Path) -> Iterator[None]:
    """Translate an error of transformers, often of many lines, into one sentence for the user who typed the path."""
    try:
        yield
    except Exception as error:  # a broken file may raise anything
        own_code = "trust_remote_code" in str(error)
        reason = shorten(str(error) or type(error).__name__, MAX_ERROR_CHARS, placeholder="…")
        why = "it needs code of its own, which is never run" if own_code else reason
        raise DataError(f"{path} cannot be loaded: {why}") from error
