"""Estimate the card hours and the disk space of a sweep from its rows and the model's configuration alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from eval.metrics.calibrated_score import BISECTIONS, GRID
from eval.models.checkpoint import load_config, load_tokenizer
from eval.rows.encode import Encoded, encode_rows
from eval.rows.types import DataError, Dataset
from eval.suite import Probes
from sweep.config.schema import ModelConfig, SweepConfig, TargetConfig, Template
from sweep.errors import ConfigError
from sweep.prepare import artifacts
from sweep.prepare.memory import Texts, parameters
from sweep.search.paper import paper_setting
from sweep.search.queue import planned
from sweep.training import models
from sweep.training.loop import schedule_of
from sweep.training.precision import COMPUTED, STORED
from sweep.training.reference import Asked, asked

PEAKS = {
    "A100": {"float32": 19.5e12, "bfloat16": 312e12},
    "H100": {"float32": 67e12, "bfloat16": 989e12},
    "H200": {"float32": 67e12, "bfloat16": 989e12},
}
"""Peak operations per second of a card, by `cluster.accelerator` and type (NVIDIA's data sheets: SXM, dense)."""
SHARE = 0.4
"""Share of the peak that a trial is assumed to reach; not measured."""
MIXES = len(GRID) - 1 + BISECTIONS
"""Maximum number of evaluations for a trial's score, beside those of its curve."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of an artifact: bytes of disk, and hours of one card (None: the card's speed is not known)."""

    disk: int
    hours: float | None


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Time and disk of a sweep.

    Attributes:
        n_trials: number of trials; None if only `search.hours` ends the search.
        trial_hours: hours of one card for a trial, without the full metrics; None if the card's speed is not known.
        artifact_costs: cost of each artifact by its folder, so that sweeps that share one pay for it once.
    """

    trials: int | None
    trial_hours: float | None
    made: Mapping[Path, Cost]

    @property
    def disk(self) -> int:
        """Bytes of the artifacts that the trials share."""
        return sum(cost.disk for cost in self.made.values())

    @property
    def hours(self) -> float | None:
        """Hours of one card for all trials and the artifacts that they share; None if not known."""
        if self.trials is None or self.trial_hours is None:
            return None
        return self.trials * self.trial_hours + sum(cost.hours or 0.0 for cost in self.made.values())

    def __str__(self) -> str:
        """Format time and disk, a line each."""
        return f"time: {self._time}\ndisk: {in_bytes(self.disk)} for what the trials share"

    @property
    def _time(self) -> str:
        if self.trial_hours is None:
            return f"not known (only for cluster.accelerator = {' or '.join(PEAKS)})"
        whole = "" if self.hours is None else f"{self.hours:.2g} hours of one card, "
        return f"{whole}{self.trial_hours:.2g} hours a trial, assuming {SHARE:.0%} of the card's peak"


def together(budgets: Sequence[Budget]) -> str:
    """Summarize time and disk of several sweeps in one line; artifacts that they share count once."""
    made = {folder: cost for one in budgets for folder, cost in one.made.items()}
    disk = in_bytes(sum(cost.disk for cost in made.values()))
    trials = [one.trials * one.trial_hours for one in budgets if one.trials is not None and one.trial_hours is not None]
    shared = sum(cost.hours or 0.0 for cost in made.values())
    hours = f"{sum(trials) + shared:.2g} hours of one card, assuming {SHARE:.0%} of its peak"
    time = hours if len(trials) == len(budgets) else "not known"
    return f"together: time {time}; disk {disk} for what the trials share"


@dataclass(frozen=True, kw_only=True)
class Base:
    """Properties of a model that are known without its weights.

    Attributes:
        architecture: its configuration.
        tokenizer: its tokenizer.
        n_parameters: number of its parameters.
        other_file_bytes: bytes of all its files but the weights.
    """

    architecture: PreTrainedConfig
    tokenizer: PreTrainedTokenizerFast
    parameters: int
    files: int


def budget(config: SweepConfig, dataset: Dataset) -> Budget:
    """Estimate the time and disk of a sweep.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    own, rows = base(config, dataset), texts(config, dataset)
    return Budget(
        trials=planned(config, paper_setting(config)),
        trial_hours=_hours(config, own, trained=_trained(config, rows), read=_read(config, rows)),
        made=_made(config, dataset, own, rows),
    )


def base(config: SweepConfig, dataset: Dataset) -> Base:
    """Load what can be known of the sweep's model without its weights.

    Raises:
        ConfigError: its tokenizer cannot be loaded.
    """
    return _base(config.model, config.target, dataset)


@cache
def _base(model: ModelConfig, target: TargetConfig, dataset: Dataset) -> Base:
    key, of = ("target", target) if target.path else ("model", model)
    path, revision = of.path, of.revision
    try:
        if path is None:
            assert model.shape is not None
            tokenizer = models.make_tokenizer(models.texts(dataset), model.shape.vocabulary)
            architecture: PreTrainedConfig = models.llama_config(model.shape, tokenizer)
        else:
            tokenizer, architecture = load_tokenizer(path, revision), load_config(path, revision)
    except DataError as error:
        raise ConfigError(f"{key}.path = {error}") from error
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        architecture.save_pretrained(folder)
        files = sum(file.stat().st_size for file in Path(folder).iterdir())
    return Base(architecture=architecture, tokenizer=tokenizer, parameters=parameters(architecture), files=files)


def texts(config: SweepConfig, dataset: Dataset) -> Texts:
    """Encode the sweep's rows as tokens.

    Raises:
        ConfigError: the model's tokenizer cannot be loaded.
    """
    return _texts(base(config, dataset).tokenizer, config.model.template, config.retain.reduction, dataset)


@cache
def _texts(tokenizer: PreTrainedTokenizerFast, template: Template, reduction: str, dataset: Dataset) -> Texts:
    kept = encode_rows(tokenizer, template, dataset.retain + dataset.holdout)
    rows = asked(template, reduction, dataset, tokenizer)
    parts = Probes.of(dataset, tokenizer, template).parts.values()
    return Texts(asked=rows, known=[*rows.forget, *kept], kept=kept, probes=[row for part in parts for row in part])


def _trained(config: SweepConfig, rows: Texts) -> float:
    """Count the positions that a trial trains on, on average."""
    mean = _positions(rows.asked.forget) / len(rows.asked.forget)
    if config.retain.term != "none":
        mean += sum(rows.asked.positions) / len(rows.asked.positions)
    return schedule_of(config, len(rows.asked.forget)).steps * config.train.batch * mean


def _read(config: SweepConfig, rows: Texts) -> float:
    """Count the positions that a trial's evaluations read at most."""
    points = -(-config.train.epochs // config.eval.every) if config.eval.every else 1
    return (points + MIXES) * _positions(rows.probes)


def _hours(config: SweepConfig, own: Base, trained: float, read: float) -> float | None:
    """Estimate the hours of one card for `trained` positions and `read` ones; None if its speed is not known.

    Forward and backward cost 6 operations per parameter and position, 8 if activations are recomputed, and a forward
    alone 2 (Kaplan et al., 2020, Scaling Laws for Neural Language Models, section 2.1).
    """
    if not config.cluster.gpus or config.cluster.accelerator not in PEAKS:
        return None
    peak = PEAKS[config.cluster.accelerator][str(COMPUTED[config.train.precision]).removeprefix("torch.")]
    operations = own.parameters * ((8 if config.train.checkpointing else 6) * trained + 2 * read)
    return operations / (SHARE * peak) / 3600


def _made(config: SweepConfig, dataset: Dataset, own: Base, rows: Texts) -> dict[Path, Cost]:
    """Estimate the cost of each artifact, by its folder."""
    places = artifacts.plan(config, dataset)
    model = own.parameters * STORED[config.train.precision].itemsize + own.files + len(dataset.to_json().encode())
    passes = 0 if config.target.path else config.target.epochs
    seen = _positions([*rows.asked.forget, *rows.asked.refusals, *rows.probes]) + sum(rows.asked.positions)
    made = {
        places.target: Cost(disk=model, hours=_hours(config, own, trained=passes * _positions(rows.known), read=0)),
        places.reference: Cost(disk=_cache(config, own, rows.asked), hours=_hours(config, own, trained=0, read=seen)),
    }
    if places.retain_model is not None:
        tuning = _hours(config, own, trained=config.target.epochs * _positions(rows.kept), read=0)
        made[places.retain_model] = Cost(disk=model, hours=tuning)
    return made


def _cache(config: SweepConfig, own: Base, rows: Asked) -> int:
    """Count the bytes of the reference's outputs: hidden states, and a float32 log-probability for each label."""
    labels = sum(len(row.labels) for row in (*rows.forget, *rows.refusals))
    states = (sum(rows.positions) + labels) * own.architecture.hidden_size
    return int(states * COMPUTED[config.train.precision].itemsize + labels * 4)


def _positions(rows: Sequence[Encoded]) -> int:
    return sum(len(row.inputs) for row in rows)


def in_bytes(size: float) -> str:
    """Format bytes with three digits, in the largest unit that fits: GB, MB or kB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size / 1e3:.3g} kB"
