"""Make the artifacts that all trials of a sweep share: the target, the reference's outputs, and the retain model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedModel

from eval.models.checkpoint import load_tokenizer
from eval.rows.encode import EncodedRow, encode_rows
from eval.rows.types import Dataset, Row
from eval.suite import Probes, evaluate, measure_retain_model
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare.artifacts import (
    METRICS_FILE,
    RETAIN_VALUES_FILE,
    ROWS_FILE,
    TEMPLATE_FILE,
    Artifacts,
    StageProgress,
    make_once,
)
from sweep.training import distributed, models, reference, weights
from sweep.training.distributed import distributed_map, local_tensor, on_rank_zero
from sweep.training.loop import Schedule, shuffled_batches, train_steps
from sweep.training.loss_terms import nll_parts
from sweep.training.precision import COMPUTE_DTYPES
from sweep.training.reference import encode_training_rows


def make_reference(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[StageProgress]:
    """Make the target, then the reference's outputs from it; a second maker at the same time waits and reuses them."""
    with on_rank_zero(make_once(wanted.target, wanted.url)) as folder:
        if folder is not None:
            yield from _make_model("target", config, dataset, dataset.target_rows, folder)
    with on_rank_zero(make_once(wanted.reference, wanted.url)) as folder:
        if folder is not None:
            yield StageProgress(stage="reference", done=0, total=1)
            _make_reference_values(config, wanted.target, folder)
            yield StageProgress(stage="reference", done=1, total=1)


def make_retain_model(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[StageProgress]:
    """Make the retain model, fine-tuned like the target but without the forget rows, and its values for them."""
    assert wanted.retain_model is not None
    with on_rank_zero(make_once(wanted.retain_model, wanted.url)) as folder:
        if folder is not None:
            without = config.model_copy(update={"target": config.target.model_copy(update={"path": None})})
            yield from _make_model("retain model", without, dataset, dataset.retain + dataset.holdout, folder)
            model, tokenizer = models.load_for_training(folder, config.train), load_tokenizer(folder)
            values = measure_retain_model(model, tokenizer, config.model.template, dataset, distributed_map(model))
            _write_texts({RETAIN_VALUES_FILE: json.dumps(asdict(values))}, folder)


PREPARERS = {"target and reference": make_reference, "retain model": make_retain_model}
"""Functions that can run in parallel, by what they make."""


def _make_model(
    stage: str, config: SweepConfig, dataset: Dataset, known: Sequence[Row], folder: Path
) -> Iterator[StageProgress]:
    """Fine-tune the model on the rows that it is to know (or load the tuned one) and save it."""
    seed = config.data.model_seed
    path, revision = config.target.path, config.target.revision
    if path is None:
        model, tokenizer = models.load_or_make_base(config, dataset, seed)
    else:
        model, tokenizer = models.load_for_training(path, config.train, revision), load_tokenizer(path, revision)
    rows = encode_rows(tokenizer, config.model.template, known)
    _check_tokens(config, model, rows)
    if path is None:
        yield from _fine_tune(stage, config, model, rows, seed)
    _check_finite(stage, config, model)
    weights.save_model(model, tokenizer, folder)
    # `python -m eval.run FOLDER` reads the wording of the rows from the template.
    _write_texts({ROWS_FILE: dataset.to_json(), TEMPLATE_FILE: config.model.template.model_dump_json()}, folder)


def _check_tokens(config: SweepConfig, model: PreTrainedModel, rows: Sequence[EncodedRow]) -> None:
    """Reject a tokenizer of another model, since a GPU reports an unknown token without a helpful message.

    Raises:
        ConfigError: a row has a token without an embedding.
    """
    token, known = max(max(row.ids) for row in rows), len(model.get_input_embeddings().get_parameter("weight"))
    if token >= known:
        key, path = ("target", config.target.path) if config.target.path else ("model", config.model.path)
        raise ConfigError(
            f"{key}.path = {path!r}: its tokenizer gives token {token}, but its weights end at {known - 1}."
        )


def _check_finite(stage: str, config: SweepConfig, model: PreTrainedModel) -> None:
    """Reject a model that diverged, since every trial would start from it.

    Raises:
        ConfigError: a weight is not finite.
    """
    broken = torch.stack([(~local_tensor(weight.detach()).isfinite()).any() for weight in model.parameters()]).any()
    if distributed.sum_over_ranks(broken.float()):
        path, lr = config.target.path, config.target.lr
        cause = f"target.lr = {lr:g}" if path is None else f"target.path = {path!r}"
        raise ConfigError(f"{cause}: the {stage} diverged, its weights are not finite: choose another.")


def _write_texts(files: Mapping[str, str], folder: Path) -> None:
    """Write texts into a folder on process 0; the others wait, so that all can read the files afterwards."""
    if distributed.rank() == 0:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    distributed.wait_for_ranks()


def _fine_tune(
    stage: str, config: SweepConfig, model: PreTrainedModel, rows: list[EncodedRow], seed: int
) -> Iterator[StageProgress]:
    tuning, train = config.target, config.train
    schedule = Schedule(
        n_rows=len(rows),
        n_epochs=tuning.epochs,
        batch_size=tuning.batch,
        lr=tuning.lr,
        warmup_from=0,
        weight_decay=tuning.weight_decay,
        max_grad_norm=1.0,
        checkpointing=train.checkpointing,
    )
    batches = shuffled_batches(len(rows), tuning.batch, seed)
    losses = (nll_parts(model, rows, chosen, train.tokens) for chosen in batches)
    for step, _ in enumerate(train_steps(model, schedule, losses), start=1):
        yield StageProgress(stage=stage, done=step, total=schedule.n_steps)


def _make_reference_values(config: SweepConfig, target: Path, folder: Path) -> None:
    """Compute and write the reference's outputs for the rows, and its metrics."""
    dataset, tokenizer = Dataset.from_file(target / ROWS_FILE), load_tokenizer(target)
    model = models.load_for_training(target, config.train)
    rows = encode_training_rows(config.model.template, config.retain.reduction, dataset, tokenizer)
    reference.write_reference(folder, model, rows, COMPUTE_DTYPES[config.train.precision])
    metrics = evaluate(model, Probes.from_dataset(dataset, tokenizer, config.model.template), distributed_map(model))
    _write_texts({METRICS_FILE: json.dumps(metrics)}, folder)
