"""Models and tokenizers from folders and hub ids: safetensors only, no code from a checkpoint is ever run."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from eval.data import DataError


def load_model(path: str | Path, revision: str | None = None) -> PreTrainedModel:
    """A causal language model in float32, in evaluation mode (dropout off, for training too)."""
    model = AutoModelForCausalLM.from_pretrained(
        path, revision=revision, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    assert isinstance(model, PreTrainedModel)
    model.eval()
    return model


def load_tokenizer(path: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """The model's fast tokenizer, which knows the characters that each token covers.

    Raises:
        DataError: the model has none.
    """
    tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(f"{path} has no fast tokenizer (tokenizer.json), which tells where an answer's tokens begin.")
    return tokenizer
