"""Make the artifacts that all trials of a sweep share: the target, the reference's outputs, and the retain model."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedModel

from eval.models.checkpoint import load_tokenizer
from eval.rows.encode import Encoded, encode_rows
from eval.rows.types import Dataset, Row
from eval.suite import Probes, evaluate, retain_values
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare.artifacts import METRICS, RETAIN, ROWS, TEMPLATE, Artifacts, Progress, made
from sweep.training import distributed, models, reference, weights
from sweep.training.distributed import by_first, each_of, local
from sweep.training.loop import Schedule, descend, stream
from sweep.training.loss_terms import nll_parts
from sweep.training.precision import COMPUTED
from sweep.training.reference import asked


def make_reference(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[Progress]:
    """Make the target, then the reference's outputs from it; a second maker at the same time waits and reuses them."""
    with by_first(made(wanted.target, wanted.url)) as folder:
        if folder is not None:
            yield from _make_model("target", config, dataset, dataset.known, folder)
    with by_first(made(wanted.reference, wanted.url)) as folder:
        if folder is not None:
            yield Progress(stage="reference", done=0, total=1)
            _make_values(config, wanted.target, folder)
            yield Progress(stage="reference", done=1, total=1)


def make_retain_model(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[Progress]:
    """Make the retain model, fine-tuned like the target but without the forget rows, and its values for them."""
    assert wanted.retain_model is not None
    with by_first(made(wanted.retain_model, wanted.url)) as folder:
        if folder is not None:
            without = config.model_copy(update={"target": config.target.model_copy(update={"path": None})})
            yield from _make_model("retain model", without, dataset, dataset.retain + dataset.holdout, folder)
            model, tokenizer = models.loaded(folder, config.train), load_tokenizer(folder)
            values = retain_values(model, tokenizer, config.model.template, dataset, each_of(model))
            _write({RETAIN: json.dumps(asdict(values))}, folder)


MAKERS = {"target and reference": make_reference, "retain model": make_retain_model}
"""Functions that can run in parallel, by what they make."""


def _make_model(
    stage: str, config: SweepConfig, dataset: Dataset, known: Sequence[Row], folder: Path
) -> Iterator[Progress]:
    """Fine-tune the model on the rows that it is to know (or load the tuned one) and save it."""
    seed = config.data.seed if config.data.source == "authors" else 0
    path, revision = config.target.path, config.target.revision
    if path is None:
        model, tokenizer = models.base(config, dataset, seed)
    else:
        model, tokenizer = models.loaded(path, config.train, revision), load_tokenizer(path, revision)
    rows = encode_rows(tokenizer, config.model.template, known)
    _check_tokens(config, model, rows)
    if path is None:
        yield from _fine_tune(stage, config, model, rows, seed)
    _check_finite(stage, config, model)
    weights.save(model, tokenizer, folder)
    # `python -m eval.run FOLDER` reads the wording of the rows from the template.
    _write({ROWS: dataset.to_json(), TEMPLATE: config.model.template.model_dump_json()}, folder)


def _check_tokens(config: SweepConfig, model: PreTrainedModel, rows: Sequence[Encoded]) -> None:
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
    broken = torch.stack([(~local(weight.detach()).isfinite()).any() for weight in model.parameters()]).any()
    if distributed.summed(broken.float()):
        path, lr = config.target.path, config.target.lr
        cause = f"target.lr = {lr:g}" if path is None else f"target.path = {path!r}"
        raise ConfigError(f"{cause}: the {stage} diverged, its weights are not finite: choose another.")


def _write(files: Mapping[str, str], folder: Path) -> None:
    """Write texts into a folder on process 0; the others wait, so that all can read the files afterwards."""
    if distributed.rank() == 0:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    distributed.wait()


def _fine_tune(
    stage: str, config: SweepConfig, model: PreTrainedModel, rows: list[Encoded], seed: int
) -> Iterator[Progress]:
    tuning, train = config.target, config.train
    schedule = Schedule(
        rows=len(rows),
        epochs=tuning.epochs,
        batch=tuning.batch,
        lr=tuning.lr,
        weight_decay=tuning.weight_decay,
        clip=1.0,
        checkpointing=train.checkpointing,
    )
    batches = stream(len(rows), tuning.batch, seed)
    losses = (nll_parts(model, rows, chosen, train.tokens) for chosen in batches)
    for step, _ in enumerate(descend(model, schedule, losses), start=1):
        yield Progress(stage=stage, done=step, total=schedule.steps)


def _make_values(config: SweepConfig, target: Path, folder: Path) -> None:
    """Compute and write the reference's outputs for the rows, and its metrics."""
    dataset, tokenizer = Dataset.read(target / ROWS), load_tokenizer(target)
    model = models.loaded(target, config.train)
    rows = asked(config.model.template, config.retain.reduction, dataset, tokenizer)
    reference.write(folder, model, rows, COMPUTED[config.train.precision])
    metrics = evaluate(model, Probes.of(dataset, tokenizer, config.model.template), each_of(model))
    _write({METRICS: json.dumps(metrics)}, folder)
