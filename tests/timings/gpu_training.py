"""What gpu.py measures: a model with random weights on rows of random tokens, and its training steps as a trial's."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain, cycle
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from eval.models.checkpoint import make_config, make_empty_model
from eval.rows.encode import EncodedRow
from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.config.space import build_objective
from sweep.prepare.memory import SweepRows, measure_stages
from sweep.training.loop import StepResult, build_trial_schedule, get_accelerator, train_steps
from sweep.training.loss_terms import build_terms
from sweep.training.precision import COMPUTE_DTYPES, WEIGHT_DTYPES, apply_precision
from sweep.training.reference import TrainingRows, read_reference, write_reference

SETTING = {"alpha": 0.5, "beta": 0.25}
"""With larger ones a model of random weights has no forget loss to speak of; the cost does not depend on it."""
QUESTION_TOKENS, ANSWER_TOKENS = (20, 60), (30, 90)
"""Shortest and longest of a row."""
SMALL = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with overrides of its configuration, and what is measured of it.

    Attributes:
        model: an option of `model=`.
        name: the case's own, after the model's.
        words: overrides.
        kind: a key of `KINDS`.
        is_small: True for two layers of 64.
    """

    model: str
    name: str
    words: tuple[str, ...] = ()
    kind: str = "step"
    is_small: bool = False

    @property
    def title(self) -> str:
        """Model and name."""
        return f"{self.model} {self.name}"


@dataclass(frozen=True, kw_only=True)
class Training:
    """A model with random weights, and its steps.

    Attributes:
        config: the sweep.
        model: the model on its device.
        head: the reference's head.
        rows: the rows of each step.
        take_steps: begins a training and returns its steps, as many as are asked for.
    """

    config: SweepConfig
    model: PreTrainedModel
    head: nn.Module
    rows: TrainingRows
    take_steps: Callable[[], Generator[StepResult, None, None]]

    @property
    def n_tokens(self) -> int:
        """Positions that a step trains on, padding that enters the retain term included."""
        return sum(len(row.inputs) for row in self.rows.forget) + sum(self.rows.retain_lengths)


def compose(case: Case) -> SweepConfig:
    """The configuration of a case; its rows are not TOFU's, but its recipe and limits are."""
    fixed = [f"model={case.model}", "data=tofu-forget10", f"cluster={'a100' if torch.cuda.is_available() else 'local'}"]
    small = ["model.layers=2", "model.deepest=1", "train.batch=4"] if case.is_small else []
    return load(CONFIGS / "wtnpo.yaml", [*fixed, *small, *case.words])


def make_architecture(case: Case, config: SweepConfig) -> PreTrainedConfig:
    """The model's configuration from `model.architecture`, shrunken where the case is small."""
    assert config.model.architecture is not None
    values = config.model.architecture.model_dump() | {"num_hidden_layers": config.model.layers}
    if case.is_small:
        grouped = values["num_attention_heads"] // values["num_key_value_heads"]
        values |= SMALL | {"num_key_value_heads": max(1, SMALL["num_attention_heads"] // grouped)}
    return make_config(values)


def make_rows(config: SweepConfig, vocabulary: int) -> TrainingRows:
    """A batch of rows of random tokens for each term."""
    draw = Random(0)  # noqa: S311 (words, not secrets)

    def row() -> EncodedRow:
        question, answer = (draw.randint(*lengths) for lengths in (QUESTION_TOKENS, ANSWER_TOKENS))
        return EncodedRow(ids=tuple(draw.randrange(vocabulary) for _ in range(question + answer)), start=question)

    forget, refusals, retain = ([row() for _ in range(config.train.batch)] for _ in range(3))
    return TrainingRows(
        forget=forget,
        refusals=refusals,
        retain=retain,
        min_length=500 if config.retain.reduction == "padded500" else 0,
    )


def make_model(config: SweepConfig, architecture: PreTrainedConfig) -> PreTrainedModel:
    """A model with the same random weights each time, made on its device, with adapters where they are configured."""
    train = config.train
    torch.manual_seed(0)
    with get_accelerator().device:
        empty = make_empty_model(architecture, WEIGHT_DTYPES[train.precision], train.attention)
        model = apply_precision(empty, train.precision)
    if (lora := getattr(train, "lora", None)) is not None:
        adapters = import_module("sweep.training.lora")
        adapters.add_adapters(model, lora, train.precision)
        adapters.reset_adapters(model, 0)
    return model


def make_training(case: Case) -> Training:
    """Make the model, the rows, and the reference's outputs for them, as a sweep does."""
    config = compose(case)
    architecture = make_architecture(case, config)
    rows, model = make_rows(config, architecture.vocab_size), make_model(config, architecture)
    with TemporaryDirectory(prefix="timings-") as folder:
        write_reference(Path(folder), model, rows, COMPUTE_DTYPES[config.train.precision])
        reference = read_reference(Path(folder), model, rows)
    forget, retain = build_terms(config, build_objective(config, dict(SETTING)), 0, model, rows, reference)
    chosen = range(config.train.batch)
    schedule = replace(build_trial_schedule(config, config.train.batch), n_epochs=10**6)

    def take_steps() -> Generator[StepResult, None, None]:
        losses = (chain(forget.loss_parts(model, chosen), retain.loss_parts(model, chosen)) for _ in cycle([0]))
        return train_steps(model, schedule, losses)

    return Training(config=config, model=model, head=reference.head, rows=rows, take_steps=take_steps)


def forecast_peak(case: Case) -> int:
    """Bytes that --dry-run forecasts for unlearning and its evaluation."""
    config = compose(case)
    architecture = make_architecture(case, config)
    rows = make_rows(config, architecture.vocab_size)
    texts = SweepRows(training_rows=rows, target_rows=(), retain_model_rows=(), probes=rows.forget)
    stages = measure_stages(config, build_objective(config, dict(SETTING)), architecture, texts)
    return max(stages[name].total_bytes for name in ("unlearning", "evaluation"))
