"""State that a worker keeps between trials: the model, the rows as tokens, and the reference's outputs."""

import gc
import json
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.checkpoint import load_tokenizer
from eval.rows.types import Dataset
from eval.suite import Probes, RetainValues
from sweep.config.schema import SweepConfig, Template
from sweep.prepare.artifacts import METRICS, RETAIN, ROWS, Artifacts
from sweep.training.models import loaded
from sweep.training.reference import Asked, Reference, asked, read
from sweep.training.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Session:
    """State that a worker keeps between trials.

    Attributes:
        dataset: the rows.
        tokenizer: the target's.
        template: the wording of the rows.
        retain_values: the retain model's values; None if no metric needs them.
        model: the model, whose weights each trial resets.
        target_weights: the target's weights.
        training_rows: the rows of unlearning as tokens.
        probes: the rows of the evaluation as tokens.
        reference: the reference's cached outputs.
        reference_metrics: the reference's own metrics.
    """

    dataset: Dataset
    tokenizer: PreTrainedTokenizerFast
    template: Template
    retain_values: RetainValues | None
    model: PreTrainedModel
    weights: Weights
    asked: Asked
    probes: Probes
    reference: Reference
    metrics: dict[str, float]


_KEPT: dict[Hashable, Session] = {}
"""Session of the last trial, keyed by everything that it depends on."""


def session(config: SweepConfig, artifacts: Artifacts) -> Session:
    """Return the session of the last trial if it fits this configuration; else load a new one in its place."""
    train, model = config.train, config.model
    needs = (artifacts, model.template, config.retain.reduction, train.precision, train.attention, train.parallel)
    if needs not in _KEPT:
        _KEPT.clear()
        gc.collect()  # free the old model now: there is memory for only one
        _KEPT[needs] = _load(config, artifacts)
    return _KEPT[needs]


def _load(config: SweepConfig, artifacts: Artifacts) -> Session:
    artifacts.fetch()
    template = config.model.template
    dataset, tokenizer = Dataset.read(artifacts.target / ROWS), load_tokenizer(artifacts.target)
    model = loaded(artifacts.target, config.train)
    rows = asked(template, config.retain.reduction, dataset, tokenizer)
    return Session(
        dataset=dataset,
        tokenizer=tokenizer,
        template=template,
        retain_values=_retain_values(artifacts.retain_model),
        model=model,
        weights=Weights(artifacts.target),
        asked=rows,
        probes=Probes.of(dataset, tokenizer, template),
        reference=read(artifacts.reference, model, rows),
        metrics=json.loads((artifacts.reference / METRICS).read_text(encoding="utf-8")),
    )


def _retain_values(folder: Path | None) -> RetainValues | None:
    if folder is None:
        return None
    values = json.loads((folder / RETAIN).read_text(encoding="utf-8"))
    return RetainValues(**values | {"truth_ratio": tuple(values["truth_ratio"])})
