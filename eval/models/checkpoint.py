"""Models and tokenizers from folders and hub ids: safetensors only, no code from a checkpoint is ever run.

What is on the hub becomes a folder of its cache first: transformers itself asks the network for nothing.
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

TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")
"""The files of a repository that describe its model and tokenizer."""
WEIGHTS = ("*.safetensors",)
LONGEST = 200
"""Characters of what transformers says."""


def load_model(
    path: str | Path,
    revision: str | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> PreTrainedModel:
    """A causal language model in evaluation mode (dropout off, for training too).

    Args:
        path: folder or hub id.
        revision: commit on the hub; None: the newest.
        dtype: of the weights.
        attention: transformers' name of an implementation; None: the model's own choice.

    Raises:
        DataError: there is none, or its weights are not all there as safetensors, or it needs code of its own, or
            lacks that attention.
    """
    folder = _folder(path, revision, [*TEXTS, *WEIGHTS])
    safetensors_check.check(folder)
    config = load_config(folder)
    with _one_sentence(path):
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
    """Refuse a model of which transformers made up a part."""
    if lacking:
        raise DataError(
            f"{path} cannot be loaded: {len(lacking)} of the weights that its config.json asks for are not there or"
            f" have another shape, first {min(lacking)}"
        )


def load_config(path: str | Path, revision: str | None = None) -> PreTrainedConfig:
    """A model's configuration alone, which says what it is made of.

    Raises:
        DataError: there is no such model, or it wants files or code of others.
    """
    folder = _folder(path, revision, TEXTS)
    with _one_sentence(path):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    assert isinstance(config, PreTrainedConfig)
    if "/" in str(config._attn_implementation):
        raise DataError(f"{path} cannot be loaded: its attention is code from the hub, which is never run")
    if getattr(config, "transformers_weights", None) is not None:
        raise DataError(f"{path} cannot be loaded: its config.json names weights of its own (transformers_weights)")
    return config


def empty_model(config: PreTrainedConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """A model made from its configuration, whose weights mean nothing, in evaluation mode.

    Raises:
        DataError: it needs code of its own, or lacks that attention.
    """
    with _one_sentence(config.name_or_path or config.model_type):
        model = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation=attention, trust_remote_code=False
        )
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model


def layers(path: str | Path, revision: str | None = None) -> int:
    """How many transformer layers a model has, by its configuration alone.

    Raises:
        DataError: there is no such model, or it does not say.
    """
    config = load_config(path, revision)
    if not isinstance(found := getattr(config, "num_hidden_layers", None), int):
        raise DataError(f"{path} cannot be loaded: its config.json says no number of layers")
    return found


def load_tokenizer(path: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The model's fast tokenizer, which knows the characters that each token covers.

    Raises:
        DataError: the model has none.
    """
    folder = _folder(path, revision, TEXTS)
    with _one_sentence(path):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"{path} has no fast tokenizer (tokenizer.json), which tells where an answer's tokens begin.")
    return tokenizer


def _folder(path: str | Path, revision: str | None, patterns: Sequence[str]) -> Path:
    """The folder itself, or that of the hub's cache with the files that match."""
    if Path(path).is_dir():
        return Path(path)
    if not hub.is_id(str(path), "model"):
        raise DataError(f"{path} cannot be loaded: there is no such folder.")
    return hub.fetched(str(path), "model", revision, patterns)


@contextmanager
def _one_sentence(path: str | Path) -> Iterator[None]:
    """What transformers says over many lines, for whoever typed the path."""
    try:
        yield
    except Exception as error:  # whatever a broken file leads to
        own_code = "trust_remote_code" in str(error)
        said = shorten(str(error) or type(error).__name__, LONGEST, placeholder="…")
        why = "it needs code of its own, which is never run" if own_code else said
        raise DataError(f"{path} cannot be loaded: {why}") from error
