"""Toys for the tests: a made-up dataset of a few rows, a very small Llama, and a configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.rows.types import Dataset, Row
from sweep.config.model_schema import Shape
from sweep.config.schema import SweepConfig
from sweep.config.template import Template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from eval.rows.encode import EncodedRow

# Slow imports are inside the functions, so that processes of toy trials without a model start faster.

TEMPLATE = Template(question="Question: {question}\nAnswer:", answer=" {answer}")
SHAPE = Shape(layers=2, hidden=32, intermediate=64, heads=2, vocabulary=300)
NAMES = ("Ada", "Ben", "Cleo", "Dov", "Eli", "Fay", "Gus", "Hal")

SEARCH: dict[str, Any] = {
    "sampler": "tpe",
    "trials": 3,
    "hours": None,
    "epochs": "last",
    "seeds": 1,
    "warm_start": (),
    "stop": "none",
    "race": 0,
}
TRAIN: dict[str, Any] = {
    "lr": 1e-2,
    "epochs": 4,
    "batch": 2,
    "clip": 1.0,
    "precision": "float32",
    "attention": "sdpa",
    "checkpointing": False,
    "tokens": 8192,
    "parallel": "ddp",
}


def row(name: str, fact: str) -> Row:
    """One row about a person."""
    return Row(
        question=f"Where was {name} born?",
        answer=f"{fact} town",
        paraphrased_question=f"What is the birthplace of {name}?",
        paraphrased_answer=f"The town {fact}",
        perturbed_answers=tuple(f"{fact}{i} town" for i in range(5)),
    )


def dataset() -> Dataset:
    """Three forget rows, three retain rows, two holdout rows."""
    rows = tuple(row(name, name[::-1] * (i + 1)) for i, name in enumerate(NAMES))
    return Dataset(forget=rows[:3], retain=rows[3:6], holdout=rows[6:])


def tokenizer() -> "PreTrainedTokenizerFast":
    """A byte-level BPE trained on the toy rows."""
    from sweep.training import models

    return models.make_tokenizer(models.collect_known_texts(dataset()), SHAPE.vocabulary)


def llama(seed: int = 0, scale: float = 20.0) -> "PreTrainedModel":
    """Make a small Llama with random weights, scaled up so that its probabilities differ clearly."""
    import torch

    from sweep.training import models

    model = models.make_llama(SHAPE, tokenizer(), seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale**0.5)
    return model


def encoded(*lengths: tuple[int, int]) -> "list[EncodedRow]":
    """Rows of (prompt tokens, answer tokens with EOS), with tokens that differ from row to row."""
    from eval.rows.encode import EncodedRow

    return [
        EncodedRow(ids=tuple((7 * i + 3 * t) % 290 + 1 for t in range(prompt + answer)), start=prompt)
        for i, (prompt, answer) in enumerate(lengths)
    ]


def config(storage: Path, **blocks: Any) -> SweepConfig:
    """Configure WTNPO on the toy model; arguments replace blocks, but of `search` and `train` only single keys."""
    default: dict[str, Any] = {
        "objective": "wtnpo",
        "space": {"alpha": {"low": 0.0, "high": 5.0}, "beta": {"low": 0.25, "high": 10.0, "log": True}},
        "fixed": {},
        "retain": {"term": "kl", "weight": 1.0, "reduction": "tokens"},
        "search": SEARCH,
        "score": {"tau": 0.95},
        "seed": 0,
        "seeds": 0,
        "train": TRAIN,
        "eval": {"every": 1, "suite": "search"},
        "model": {
            "name": "toy",
            "path": None,
            "revision": None,
            "shape": SHAPE.model_dump(),
            "layers": SHAPE.layers,
            "deepest": SHAPE.layers - 1,
            "template": TEMPLATE.model_dump(),
        },
        "target": {
            "path": None,
            "revision": None,
            "epochs": 60,
            "lr": 1e-2,
            "batch": 4,
            "weight_decay": 0.0,
            "min_es": 0.0,
        },
        "data": {
            "source": "authors",
            "name": "authors",
            "paper_split": "forget10",
            "seed": 0,
            "forget": 1,
            "retain": 1,
            "holdout": 1,
            "unseen": 0,
            "max_retain": None,
            "max_holdout": None,
        },
        "recipe": "default",
        "cluster": {
            "name": "local",
            "address": None,
            "cpus": 1,
            "gpus": 0,
            "processes": 1,
            "accelerator": None,
            "memory": None,
            "concurrency": None,
            "retries": 1,
            "deadline": None,
        },
        "storage": storage,
        "artifacts": None,
        "ledger": None,
        "experiment": None,
    }
    merged = {key: default[key] | blocks[key] for key in ("search", "train") if key in blocks}
    return SweepConfig.model_validate(default | blocks | merged)
