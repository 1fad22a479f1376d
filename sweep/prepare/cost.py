"""Estimate the card hours and the disk space of a sweep from its rows and the model's configuration alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from eval.metrics.calibrated_score import MIX_GRID, N_BISECTIONS
from eval.models.checkpoint import load_config, load_tokenizer, make_config
from eval.models.hub import HubUnreachableError
from eval.rows.encode import EncodedRow, encode_rows
from eval.rows.types import DataError, Dataset
from eval.suite import Probes
from sweep.config.model_schema import Architecture, LoraConfig, ModelConfig, TargetConfig
from sweep.config.schema import SweepConfig
from sweep.config.template import Template
from sweep.errors import ConfigError
from sweep.prepare.artifacts import Artifacts
from sweep.prepare.budget import ASSUMED_PEAK_SHARE, PEAK_FLOPS, ArtifactCost, Budget, KeptModels
from sweep.prepare.memory import SweepRows, count_parameters
from sweep.search.paper import find_paper_setting
from sweep.search.queue import count_planned_trials
from sweep.training import models
from sweep.training.loop import build_trial_schedule
from sweep.training.precision import COMPUTE_DTYPES, WEIGHT_DTYPES
from sweep.training.reference import TrainingRows, encode_training_rows

OFFLINE_VOCABULARY = 8192
"""Size of the vocabulary of a tokenizer that stands in for the model's."""
MAX_MIX_EVALUATIONS = len(MIX_GRID) - 1 + N_BISECTIONS
"""Maximum number of evaluations for a trial's score, beside those of its curve."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Seconds that this machine takes for parts of a trial, one trial at a time.

    Attributes:
        step_s: of a training step, whatever its rows: the optimizer.
        trained_s: of a position that is trained on.
        read_s: of a position that an evaluation reads.
        n_at_once: trials that run at once on this machine.
    """

    step_s: float
    trained_s: float
    read_s: float
    n_at_once: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """Work of a training or an evaluation: optimizer steps, positions that are trained on and that are only read."""

    steps: int = 0
    trained: float = 0
    read: float = 0


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Properties of a model that are known without its weights.

    Attributes:
        architecture: its configuration.
        tokenizer: its tokenizer.
        n_parameters: number of its parameters.
        other_file_bytes: bytes of all files of a target but its weights: model, tokenizer and rows.
        is_offline: True if `model.architecture` and a tokenizer of the rows stand in for those of the hub.
    """

    architecture: PreTrainedConfig
    tokenizer: PreTrainedTokenizerFast
    n_parameters: int
    other_file_bytes: int
    is_offline: bool


@cache
def load_model_info(model: ModelConfig, target: TargetConfig, dataset: Dataset, attention: str) -> ModelInfo:
    """Load what can be known of a sweep's model without its weights; `attention` is as in `train.attention`.

    Raises:
        ConfigError: its tokenizer cannot be loaded.
    """
    is_offline = False
    try:
        tokenizer, architecture = _load_description(model, target, dataset)
    except HubUnreachableError as error:
        if model.architecture is None:
            raise ConfigError(_name_path(model, target, error)) from error
        tokenizer, architecture = _make_description(model, model.architecture, dataset)
        is_offline = True
    except DataError as error:
        raise ConfigError(_name_path(model, target, error)) from error
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        architecture.save_pretrained(folder)
        files = sum(file.stat().st_size for file in Path(folder).iterdir())
    return ModelInfo(
        architecture=architecture,
        tokenizer=tokenizer,
        n_parameters=count_parameters(architecture, attention),
        other_file_bytes=files + len(dataset.to_json().encode()),
        is_offline=is_offline,
    )


def _name_path(model: ModelConfig, target: TargetConfig, error: DataError) -> str:
    return f"{'target' if target.path else 'model'}.path = {error}"


def _load_description(
    model: ModelConfig, target: TargetConfig, dataset: Dataset
) -> tuple[PreTrainedTokenizerFast, PreTrainedConfig]:
    """Load tokenizer and configuration of the model that trials start from, or make them from its shape."""
    of = target if target.path else model
    if of.path is not None:
        return load_tokenizer(of.path, of.revision), load_config(of.path, of.revision)
    assert model.shape is not None
    tokenizer = models.make_tokenizer(models.collect_known_texts(dataset), model.shape.vocabulary)
    return tokenizer, models.make_llama_config(model.shape, tokenizer)


def _make_description(
    model: ModelConfig, architecture: Architecture, dataset: Dataset
) -> tuple[PreTrainedTokenizerFast, PreTrainedConfig]:
    """Make a tokenizer from the rows, about as fine as a model's own, and a configuration from `architecture`."""
    tokenizer = models.make_tokenizer(models.collect_known_texts(dataset), OFFLINE_VOCABULARY)
    return tokenizer, make_config(architecture.model_dump() | {"num_hidden_layers": model.layers})


def encode_sweep_rows(config: SweepConfig, dataset: Dataset) -> SweepRows:
    """Encode the sweep's rows as tokens.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    tokenizer = load_model_info(config.model, config.target, dataset, config.train.attention).tokenizer
    return _encode_sweep_rows(tokenizer, config.model.row_template, config.retain.reduction, dataset)


@cache
def _encode_sweep_rows(
    tokenizer: PreTrainedTokenizerFast, template: Template, reduction: str, dataset: Dataset
) -> SweepRows:
    rows = encode_training_rows(template, reduction, dataset, tokenizer)
    kept = [*rows.retain, *encode_rows(tokenizer, template, dataset.holdout)]
    parts = Probes.from_dataset(dataset, tokenizer, template).parts.values()
    return SweepRows(
        training_rows=rows,
        target_rows=[*rows.forget, *kept],
        retain_model_rows=kept,
        probes=[row for part in parts for row in part],
    )


def estimate_budget(config: SweepConfig, dataset: Dataset, places: Artifacts, speed: Speed | None = None) -> Budget:
    """Estimate the time and disk of a sweep whose artifacts have these places.

    Args:
        config: the sweep.
        dataset: its rows.
        places: the places of its artifacts.
        speed: this machine's, where the trials run on its cores; None: hours are those of the card, if it is known.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    own, rows = (
        load_model_info(config.model, config.target, dataset, config.train.attention),
        encode_sweep_rows(config, dataset),
    )
    hours = _estimate_hours(config, own, config.train.lora, speed, _count_trial_work(config, rows))
    artifacts = _estimate_artifacts(config, own, rows, places, speed)
    return Budget(
        n_trials=count_planned_trials(config, find_paper_setting(config)),
        trial_hours=hours,
        n_at_once=0 if speed is None else speed.n_at_once,
        artifact_costs=artifacts,
        checkpoint_bytes=_count_checkpoint_bytes(config, own, [hours, *(cost.hours for cost in artifacts.values())]),
        models=_estimate_models(config, own),
    )


def _count_checkpoint_bytes(config: SweepConfig, own: ModelInfo, hours: Sequence[float | None]) -> int:
    """Count the bytes of two checkpoints, since the next is written beside the last; 0 if no work takes long enough."""
    minutes, precision = config.cluster.checkpoint, config.train.precision
    if minutes is None or all(one is not None and 60 * one < minutes for one in hours):
        return 0
    n_values = 4 if precision == "kahan" else 3  # weight, two moments, rounding error
    return 2 * n_values * own.n_parameters * WEIGHT_DTYPES[precision].itemsize


def _estimate_models(config: SweepConfig, own: ModelInfo) -> KeptModels:
    """Estimate the models that the sweep keeps."""
    of_paper = config.save == "finalists" and find_paper_setting(config) is not None
    settings = 0 if config.save == "none" else 1 + of_paper
    kinds = 2 if config.save_as == "both" else 1
    return KeptModels(
        number=settings * kinds, each_bytes=_count_model_bytes(config, own), has_front=config.save == "pareto"
    )


def _count_model_bytes(config: SweepConfig, own: ModelInfo) -> int:
    """Count the bytes of a saved model, with its tokenizer and the rows."""
    return int(own.n_parameters * WEIGHT_DTYPES[config.train.precision].itemsize + own.other_file_bytes)


def _count_trial_work(config: SweepConfig, rows: SweepRows) -> Work:
    """Count the steps of a trial, the positions that it trains on, on average, and those that it reads at most."""
    forget, retain = rows.training_rows.forget, rows.training_rows.retain_lengths
    mean = _count_positions(forget) / len(forget)
    if config.retain.term != "none":
        mean += sum(retain) / len(retain)
    steps = build_trial_schedule(config, len(forget)).n_steps
    trained = steps * config.train.batch * mean + _count_effect_positions(config, rows, steps, mean)
    return Work(steps=steps, trained=trained, read=_count_read_positions(config, rows))


def _count_effect_positions(config: SweepConfig, rows: SweepRows, steps: int, mean: float) -> float:
    """Count the positions of the backward passes for gradient effects: the loss once more, and the two risks.

    `mean` is the number of positions of a forget row, and with a retain term of a retain row.
    """
    if (options := config.eval.g_effect) is None:
        return 0.0
    forget, kept = rows.training_rows.forget, rows.retain_model_rows
    risks = _count_positions(forget) / len(forget) + _count_positions(kept) / len(kept)
    return -(-steps // options.every) * min(options.rows, len(forget)) * (mean + risks)


def _count_tuning_work(config: SweepConfig, rows: Sequence[EncodedRow]) -> Work:
    """Count the steps and positions of a fine-tuning on these rows."""
    epochs = config.target.epochs
    return Work(steps=epochs * len(rows) // config.target.batch, trained=epochs * _count_positions(rows))


def _count_read_positions(config: SweepConfig, rows: SweepRows) -> float:
    """Count the positions that a trial's evaluations read at most."""
    points = -(-config.train.epochs // config.eval.every) if config.eval.every else 1
    return (points + MAX_MIX_EVALUATIONS) * _count_positions(rows.probes)


def _estimate_hours(
    config: SweepConfig, own: ModelInfo, lora: LoraConfig | None, speed: Speed | None, work: Work
) -> float | None:
    """Estimate the hours of this machine, where its speed is known, or of one card; None if its speed is not known.

    A forward costs 2 operations per parameter and position, the gradients of activations 2, those of weights 2, which
    adapters do without, and activations that are recomputed 2 (Kaplan et al., 2020, Scaling Laws for Neural Language
    Models, section 2.1).
    """
    if speed is not None:
        return (work.steps * speed.step_s + work.trained * speed.trained_s + work.read * speed.read_s) / 3600
    if not config.cluster.gpus or config.cluster.accelerator not in PEAK_FLOPS:
        return None
    peak = PEAK_FLOPS[config.cluster.accelerator][str(COMPUTE_DTYPES[config.train.precision]).removeprefix("torch.")]
    each = (6 if lora is None else 4) + (2 if config.train.checkpointing else 0)
    operations = own.n_parameters * (each * work.trained + 2 * work.read)
    return operations / (ASSUMED_PEAK_SHARE * peak) / 3600


def _estimate_artifacts(
    config: SweepConfig, own: ModelInfo, rows: SweepRows, places: Artifacts, speed: Speed | None
) -> dict[Path, ArtifactCost]:
    """Estimate the cost of each artifact, by its folder; those that are there take no more time."""
    asked, missing = rows.training_rows, places.missing_names
    read = _count_positions([*asked.forget, *asked.refusals, *rows.probes]) + sum(asked.retain_lengths)
    model_bytes = _count_model_bytes(config, own)
    tuned = _count_tuning_work(config, () if config.target.path else rows.target_rows)
    retain_tuned = _count_tuning_work(config, () if config.retain_model.path else rows.retain_model_rows)
    made: list[tuple[str, Path | None, int, Work]] = [
        ("target", places.target, model_bytes, tuned),
        ("reference", places.reference, _count_reference_bytes(config, own, asked), Work(read=read)),
        ("retain model", places.retain_model, model_bytes, retain_tuned),
    ]
    hours = partial(_estimate_hours, config, own, config.target.lora, speed)
    return {
        folder: ArtifactCost(disk_bytes=size, hours=hours(work) if name in missing else 0.0)
        for name, folder, size, work in made
        if folder is not None
    }


def _count_reference_bytes(config: SweepConfig, own: ModelInfo, rows: TrainingRows) -> int:
    """Count the bytes of the reference's outputs: hidden states, and a float32 log-probability for each label."""
    labels = sum(len(row.labels) for row in (*rows.forget, *rows.refusals))
    states = (sum(rows.retain_lengths) + labels) * own.architecture.hidden_size
    return int(states * COMPUTE_DTYPES[config.train.precision].itemsize + labels * 4)


def _count_positions(rows: Sequence[EncodedRow]) -> int:
    return sum(len(row.inputs) for row in rows)
