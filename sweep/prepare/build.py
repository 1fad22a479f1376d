"""Make the artifacts that all trials of a sweep share: the target, the reference's outputs, and the retain model."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.metrics.calibrated_score import extraction_strengths
from eval.models.checkpoint import load_tokenizer
from eval.models.forward import has_known_logits
from eval.rows.encode import EncodedRow, encode_rows
from eval.rows.types import Dataset, Row
from eval.suite import Probes, evaluate, measure_retain_model
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare.artifact_list import describe_reference, describe_retain_model, describe_target
from sweep.prepare.artifacts import (
    BASE_METRICS_FILE,
    CHECKPOINT_SUFFIX,
    METRICS_FILE,
    RETAIN_VALUES_FILE,
    ROWS_FILE,
    TEMPLATE_FILE,
    Artifacts,
    StageProgress,
    make_once,
)
from sweep.training import distributed, lora, models, reference, weights
from sweep.training.checkpoint import Checkpoint
from sweep.training.distributed import distributed_map, local_tensor, on_rank_zero
from sweep.training.loop import Schedule, shuffled_batches, train_steps
from sweep.training.loss_terms import nll_parts
from sweep.training.precision import COMPUTE_DTYPES
from sweep.training.progress_meter import ProgressMeter
from sweep.training.reference import encode_training_rows

PACE_INTERVAL_S = 1.0
"""Time between two measurements of a fine-tuning's pace: the bar of a terminal shows each."""
CHECKPOINTED_KEYS = {"precision", "attention", "checkpointing", "tokens", "parallel"}
"""Keys of `train` that a fine-tuning depends on to the bit."""


def make_reference(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[StageProgress]:
    """Make the target, then the reference's outputs from it; a second maker at the same time waits and reuses them."""
    with on_rank_zero(make_once(wanted.target, wanted.url, describe_target(config))) as folder:
        if folder is not None:
            yield from _make_model("target", config, dataset, dataset.target_rows, folder)
    outputs = describe_reference(config, wanted.target)
    with on_rank_zero(make_once(wanted.reference, wanted.url, outputs)) as folder:
        if folder is not None:
            yield StageProgress(stage="reference", done=0, total=1)
            _make_reference_values(config, wanted.target, folder)
            yield StageProgress(stage="reference", done=1, total=1)


def make_retain_model(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[StageProgress]:
    """Make the retain model, fine-tuned like the target but without the forget rows or given, and its values."""
    assert wanted.retain_model is not None
    with on_rank_zero(make_once(wanted.retain_model, wanted.url, describe_retain_model(config))) as folder:
        if folder is not None:
            source = config.target.model_copy(update=config.retain_model.model_dump())
            without = config.model_copy(update={"target": source})
            yield from _make_model("retain model", without, dataset, dataset.retain + dataset.holdout, folder)
            model, tokenizer = models.load_for_training(folder, config.train), load_tokenizer(folder)
            values = measure_retain_model(model, tokenizer, config.model.row_template, dataset, distributed_map(model))
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
    rows = encode_rows(tokenizer, config.model.row_template, known)
    _check_tokens(config, model, rows)
    _check_logits(config, model, rows)
    base_metrics: dict[str, float] = {}
    if path is None:
        base_metrics = _measure_es(config, dataset, model, tokenizer)
        # The retain model is not to know the forget rows.
        learned = dataset if {*dataset.forget} <= {*known} else replace(dataset, forget=dataset.holdout)
        is_learned = partial(_has_reached_es, config, learned, model, tokenizer)
        if config.target.lora is not None:
            lora.add_adapters(model, config.target.lora, config.train.precision)
            lora.reset_adapters(model, seed)
        checkpoint = _open_checkpoint(config, folder, model)
        yield from _fine_tune(stage, config, model, rows, seed, is_learned, checkpoint)
    _check_finite(stage, config, model)
    weights.save_model(model, tokenizer, folder)
    # `python -m eval.run FOLDER` reads the wording of the rows from the template.
    template = config.model.row_template.model_dump_json()
    texts = {ROWS_FILE: dataset.to_json(), TEMPLATE_FILE: template, BASE_METRICS_FILE: json.dumps(base_metrics)}
    _write_texts(texts, folder)


def _open_checkpoint(config: SweepConfig, folder: Path, model: PreTrainedModel) -> Checkpoint:
    """Open the checkpoint of a fine-tuning beside its artifact, whose name is the hash of its inputs."""
    inputs = {"artifact": folder.stem} | config.train.model_dump(include=CHECKPOINTED_KEYS)
    return Checkpoint(folder.with_suffix(CHECKPOINT_SUFFIX), inputs, config.cluster.checkpoint, model)


def _check_tokens(config: SweepConfig, model: PreTrainedModel, rows: Sequence[EncodedRow]) -> None:
    """Reject a tokenizer of another model, since a GPU reports an unknown token without a helpful message.

    Raises:
        ConfigError: a row has a token without an embedding.
    """
    token, known = max(max(row.ids) for row in rows), len(model.get_input_embeddings().get_parameter("weight"))
    if token >= known:
        raise ConfigError(
            f"{_name_path(config)}: its tokenizer gives token {token}, but its weights end at {known - 1}."
        )


def _check_logits(config: SweepConfig, model: PreTrainedModel, rows: Sequence[EncodedRow]) -> None:
    """Reject a model that makes its logits in a way that the loss and the reference do not know.

    Raises:
        ConfigError: its logits are not its `output_layer` of its final hidden states.
    """
    if not distributed.run_with_weights(model, partial(has_known_logits, model, rows[:1])):
        raise ConfigError(
            f"{_name_path(config)}: its logits ({model.config.model_type}) are not its head applied to its final hidden"
            " states, scaled and capped by a key of its configuration that is known here: choose another."
        )


def _name_path(config: SweepConfig) -> str:
    """Return the key and the value that name the model that is loaded."""
    path = config.target.path or config.model.path
    paths = {"model": config.model.path, "target": config.target.path, "retain_model": config.retain_model.path}
    return f"{next(key for key, own in reversed(paths.items()) if own == path)}.path = {path!r}"


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


def _measure_es(
    config: SweepConfig, dataset: Dataset, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> dict[str, float]:
    """Measure the metrics of the search on the rows, with the model's current weights."""
    probes = Probes.from_dataset(dataset, tokenizer, config.model.row_template)
    with lora.compute_merged(model):
        return evaluate(model, probes, distributed_map(model))


def _has_reached_es(
    config: SweepConfig, dataset: Dataset, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> bool:
    """Check that forget and retain ES are at least `target.until`; False where that is null."""
    until = config.target.until
    return until is not None and min(extraction_strengths(_measure_es(config, dataset, model, tokenizer))) >= until


def _fine_tune(
    stage: str,
    config: SweepConfig,
    model: PreTrainedModel,
    rows: list[EncodedRow],
    seed: int,
    is_learned: Callable[[], bool],
    checkpoint: Checkpoint,
) -> Iterator[StageProgress]:
    """Fine-tune the model for `target.epochs`, or until `is_learned` says so at the end of an epoch."""
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
    done, total = checkpoint.n_steps, schedule.n_steps
    if done:
        yield StageProgress(stage=stage, done=done, total=total, goes_on=True)
    meter = ProgressMeter(schedule, [[len(r.inputs) for r in rows]], interval_s=PACE_INTERVAL_S, n_steps=done)
    with closing(train_steps(model, schedule, losses, checkpoint)) as steps:
        for epoch in range(schedule.find_epoch(done), schedule.n_epochs + 1):
            for step in islice(steps, schedule.count_steps_until(epoch) - done):
                done += 1
                yield StageProgress(stage=stage, done=done, total=total, pace=meter.measure_pace(step, done))
            if done < total and is_learned():
                yield StageProgress(stage=stage, done=total, total=total)
                return


def _make_reference_values(config: SweepConfig, target: Path, folder: Path) -> None:
    """Compute and write the reference's outputs for the rows, and its metrics."""
    dataset, tokenizer = Dataset.from_file(target / ROWS_FILE), load_tokenizer(target)
    model = models.load_for_training(target, config.train)
    rows = encode_training_rows(config.model.row_template, config.retain.reduction, dataset, tokenizer)
    reference.write_reference(folder, model, rows, COMPUTE_DTYPES[config.train.precision])
    _write_texts({METRICS_FILE: json.dumps(_measure_es(config, dataset, model, tokenizer))}, folder)
