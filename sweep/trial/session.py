"""State that a worker keeps between trials: the model, the rows as tokens, and the reference's outputs."""

import gc
import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.checkpoint import load_tokenizer
from eval.rows.types import Dataset
from eval.suite import Probes, RetainValues, SuiteReport
from sweep.config.schema import SweepConfig
from sweep.config.template import Template
from sweep.prepare.artifacts import METRICS_FILE, RETAIN_VALUES_FILE, ROWS_FILE, Artifacts
from sweep.training.lora import AdapterWeights, add_adapters
from sweep.training.models import load_for_training
from sweep.training.reference import Reference, TrainingRows, encode_training_rows, read_reference
from sweep.training.weights import TargetWeights


@dataclass(frozen=True, kw_only=True)
class Session:
    """State that a worker keeps between trials.

    Attributes:
        dataset: the rows.
        tokenizer: the target's.
        template: the wording of the rows.
        retain_values: the retain model's values; None if no metric needs them.
        model: the model, whose weights or adapters each trial resets.
        target_weights: the way back to the target's weights.
        training_rows: the rows of unlearning as tokens.
        probes: the rows of the evaluation as tokens.
        reference: the reference's cached outputs.
        reference_metrics: the reference's own metrics.
        target_reports: what the suites of earlier trials say of the target.
    """

    dataset: Dataset
    tokenizer: PreTrainedTokenizerFast
    template: Template
    retain_values: RetainValues | None
    model: PreTrainedModel
    target_weights: TargetWeights | AdapterWeights
    training_rows: TrainingRows
    probes: Probes
    reference: Reference
    reference_metrics: dict[str, float]
    target_reports: "dict[SuiteFn, SuiteReport]" = field(default_factory=dict)


SuiteFn: TypeAlias = Callable[[Session], SuiteReport]
"""Function that measures a suite with the model's current weights."""


_CACHED_SESSION: dict[Hashable, Session] = {}
"""Session of the last trial, keyed by everything that it depends on."""


def get_session(config: SweepConfig, artifacts: Artifacts) -> Session:
    """Return the session of the last trial if it fits this configuration; else load a new one in its place."""
    train, model = config.train, config.model
    way = (train.precision, train.attention, train.parallel, train.lora)
    needs = (artifacts, model.row_template, config.retain.reduction, *way)
    if needs not in _CACHED_SESSION:
        _CACHED_SESSION.clear()
        gc.collect()  # free the old model now: there is memory for only one
        _CACHED_SESSION[needs] = _load_session(config, artifacts)
    return _CACHED_SESSION[needs]


def _load_session(config: SweepConfig, artifacts: Artifacts) -> Session:
    artifacts.fetch()
    template = config.model.row_template
    dataset, tokenizer = Dataset.from_file(artifacts.target / ROWS_FILE), load_tokenizer(artifacts.target)
    model = load_for_training(artifacts.target, config.train)
    if config.train.lora is not None:
        add_adapters(model, config.train.lora, config.train.precision)
    rows = encode_training_rows(template, config.retain.reduction, dataset, tokenizer)
    return Session(
        dataset=dataset,
        tokenizer=tokenizer,
        template=template,
        retain_values=_read_retain_values(artifacts.retain_model),
        model=model,
        target_weights=TargetWeights(artifacts.target) if config.train.lora is None else AdapterWeights(),
        training_rows=rows,
        probes=Probes.from_dataset(dataset, tokenizer, template),
        reference=read_reference(artifacts.reference, model, rows),
        reference_metrics=json.loads((artifacts.reference / METRICS_FILE).read_text(encoding="utf-8")),
    )


def _read_retain_values(folder: Path | None) -> RetainValues | None:
    if folder is None:
        return None
    values = json.loads((folder / RETAIN_VALUES_FILE).read_text(encoding="utf-8"))
    return RetainValues(**values | {"truth_ratio": tuple(values["truth_ratio"])})
