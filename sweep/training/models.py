"""Load models and tokenizers for training, or make them: a small Llama and a tokenizer trained on the rows."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from eval.models.checkpoint import load_model, load_tokenizer
from eval.rows.types import Dataset
from sweep.config.model_schema import Shape
from sweep.config.schema import SweepConfig, TrainConfig
from sweep.training.distributed import shard_model
from sweep.training.loop import get_accelerator
from sweep.training.precision import WEIGHT_DTYPES, cast_weights, check_attention, enable_autocast

END_OF_TEXT = "<|end|>"


def load_for_training(path: str | Path, train: TrainConfig, revision: str | None = None) -> PreTrainedModel:
    """Load a model from a folder or the hub onto the worker's device, with the precision and sharding of `train`.

    Raises:
        ConfigError: the worker does not support this attention.
        DataError: there is no such model.
    """
    check_attention(train.attention)
    model = load_model(path, revision, dtype=WEIGHT_DTYPES[train.precision], attention=train.attention)
    return place_on_device(model, train)


def place_on_device(model: PreTrainedModel, train: TrainConfig) -> PreTrainedModel:
    """Move the model to the worker's device in a trial's precision, and return it; fsdp moves a layer at a time."""
    cast_weights(model, train.precision)
    device = get_accelerator().device
    on_device = shard_model(model, device) if train.parallel == "fsdp" else model.to(device)
    return enable_autocast(on_device, train.precision)


def load_or_make_base(
    config: SweepConfig, dataset: Dataset, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load the model as it is before fine-tuning, or make it from its shape; return it with its tokenizer."""
    model, train = config.model, config.train
    if model.path is not None:
        return load_for_training(model.path, train, model.revision), load_tokenizer(model.path, model.revision)
    assert model.shape is not None
    tokenizer = make_tokenizer(collect_known_texts(dataset), model.shape.vocabulary)
    llama = make_llama(model.shape, tokenizer, seed)
    check_attention(train.attention)
    llama.set_attn_implementation(train.attention)
    return place_on_device(llama, train), tokenizer


def collect_known_texts(dataset: Dataset) -> Iterable[str]:
    """Yield all texts that the target is trained to know, and the paraphrased questions of its evaluation."""
    for row in dataset.target_rows:
        yield from (row.question, row.answer, row.paraphrased_question)


def make_tokenizer(corpus: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a corpus; it can encode any text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT)


def make_llama(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Make a Llama with random weights, drawn from the seed, and tied embeddings."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(make_llama_config(shape, tokenizer))
    model.eval()
    return model


def make_llama_config(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Make the configuration of a Llama of this shape, with tied embeddings."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
