"""Models and tokenizers from folders and hub ids: safetensors only, no code from a checkpoint is ever run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from eval.data import DataError


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
        DataError: there is none, or it has no safetensors, or it needs code of its own, or lacks that attention.
    """
    with _one_sentence(path):
        model = AutoModelForCausalLM.from_pretrained(
            path,
            revision=revision,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
        )
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model


def load_config(path: str | Path, revision: str | None = None) -> PreTrainedConfig:
    """A model's configuration alone, which says what it is made of.

    Raises:
        DataError: there is no such model.
    """
    with _one_sentence(path):
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
    assert isinstance(config, PreTrainedConfig)
    return config


def empty_model(config: PreTrainedConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """A model made from its configuration, whose weights mean nothing, in evaluation mode.

    Raises:
        DataError: it needs code of its own, or lacks that attention.
    """
    with _one_sentence(config.name_or_path or config.model_type):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model


def layers(path: str | Path, revision: str | None = None) -> int:
    """How many transformer layers a model has, by its configuration alone.

    Raises:
        DataError: there is no such model.
    """
    return int(load_config(path, revision).num_hidden_layers)


@contextmanager
def _one_sentence(path: str | Path) -> Iterator[None]:
    """What transformers and the hub say over many lines, for whoever typed the path."""
    if str(path).startswith(("/", ".", "~")) and not Path(path).is_dir():
        raise DataError(f"{path} cannot be loaded: there is no such folder.")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a line for each of its retries
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        own_code = "trust_remote_code" in str(error)
        why = "it needs code of its own, which is never run" if own_code else str(error).strip().partition("\n")[0]
        raise DataError(f"{path} cannot be loaded: {why}") from error


def load_tokenizer(path: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The model's fast tokenizer, which knows the characters that each token covers.

    Raises:
        DataError: the model has none.
    """
    with _one_sentence(path):
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"{path} has no fast tokenizer (tokenizer.json), which tells where an answer's tokens begin.")
    return tokenizer
