"""One trial on a warm worker: reset to the target, unlearn, measure each epoch, score."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.calibration import Calibration, Strength, calibrate
from eval.checkpoint import load_model, load_tokenizer
from eval.data import Dataset
from eval.suite import Probes, RetainValues, evaluate, full, strength
from objectives._base import Objective
from sweep.config import TAUS, SweepConfig, Template
from sweep.unlearning.artifacts import Artifacts
from sweep.unlearning.loop import Schedule, accelerator, descend, stream
from sweep.unlearning.losses import ForgetTerm, KLRetainTerm, NLLRetainTerm, NoRetainTerm, RetainTerm
from sweep.unlearning.models import Weights, snapshot
from sweep.unlearning.prepare import METRICS, RETAIN, ROWS, asked
from sweep.unlearning.reference import Asked, Reference, read

RETAIN_STREAM = 2**31
"""Added to a trial's seed for the order of the retain rows."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a trial stands after an epoch: its mean loss and the cheap metrics."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended: its final metrics, and why it got the worst score (empty where it did not)."""

    metrics: dict[str, float]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The weights that a trial is judged by, on the CPU, and the point at which it had them."""

    point: Point
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a worker keeps between trials: the model, whose weights each trial resets, and the rows as tokens."""

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


@lru_cache(maxsize=1)
def session(artifacts: Artifacts, template: Template, reduction: str) -> Session:
    """Load the target and what the reference says; kept until a trial of other artifacts comes."""
    dataset, tokenizer = Dataset.read(artifacts.target / ROWS), load_tokenizer(artifacts.target)
    model = load_model(artifacts.target).to(accelerator().device)
    rows = asked(template, reduction, dataset, tokenizer)
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


Suite: TypeAlias = Callable[[Session], dict[str, float]]


def search_suite(here: Session) -> dict[str, float]:
    """Nothing: the last point holds what the score needs."""
    return {}


def full_suite(here: Session) -> dict[str, float]:
    """All metrics of the model as it is."""
    return full(here.model, here.tokenizer, here.template, here.dataset, retain=here.retain_values).metrics


def run(
    config: SweepConfig, artifacts: Artifacts, objective: Objective, seed: int, suite: Suite
) -> Iterator[Point | Outcome]:
    """Run one trial, whose configuration holds its own setting; yields points of its curve, then the outcome.

    Args:
        config: the sweep, with the trial's setting.
        artifacts: what was prepared.
        objective: the forget term.
        seed: of everything random in the trial.
        suite: what is measured at its end beside what the score needs.
    """
    here = session(artifacts, config.model.template, config.retain.reduction)
    here.weights.reset(here.model)
    schedule = _schedule(config, len(here.asked.forget))
    steps = _steps(here, config, schedule, objective, seed)
    candidate: Candidate | None = None
    for epoch in range(1, schedule.epochs + 1):
        losses = list(islice(steps, schedule.steps_of(epoch) - schedule.steps_of(epoch - 1)))
        if not all(map(math.isfinite, losses)):
            yield _worst(here, config, f"the loss was not finite in epoch {epoch} of {schedule.epochs}")
            return
        if epoch == schedule.epochs or (config.eval.every and epoch % config.eval.every == 0):
            point = Point(epoch=epoch, metrics=_mean_loss(losses) | evaluate(here.model, here.probes))
            if _preferred(here, config, point, candidate):
                candidate = Candidate(point=point, weights=snapshot(here.model))
            yield point
    assert candidate is not None, "the last epoch has a point"
    yield _scored(here, config, candidate, suite)


def _preferred(here: Session, config: SweepConfig, point: Point, candidate: Candidate | None) -> bool:
    """Whether a point takes the candidate's place."""
    if config.search.epochs == "last":
        return point.epoch == config.train.epochs
    return candidate is None or _rank(here, config, point) <= _rank(here, config, candidate.point)


def _rank(here: Session, config: SweepConfig, point: Point) -> tuple[bool, float]:
    """Lower is better: the point that forgets most of those that keep τ unmixed, or else the last."""
    found = strength(point.metrics)
    lost = found.retain < config.score.tau * strength(here.metrics).retain
    return lost, -point.epoch if lost else found.forget


def _schedule(config: SweepConfig, rows: int) -> Schedule:
    train = config.train
    return Schedule(rows=rows, epochs=train.epochs, batch=train.batch, lr=train.lr, weight_decay=0.0, clip=train.clip)


def _steps(here: Session, config: SweepConfig, schedule: Schedule, objective: Objective, seed: int) -> Iterator[float]:
    """The loss of each step: the forget term over a batch of forget rows, the retain term over as many retain rows."""
    forget, retain = _forget_term(here, objective, seed), _retain_term(here, config)
    forget_rows = stream(len(here.asked.forget), schedule.batch, seed)
    # A stream of its own, so that the order of the retain rows does not depend on how many forget rows there are.
    retain_rows = stream(len(here.asked.retain), schedule.batch, seed + RETAIN_STREAM)
    pairs = zip(forget_rows, retain_rows, strict=False)
    losses = (chain(forget.parts(here.model, f), retain.parts(here.model, r)) for f, r in pairs)
    return descend(here.model, schedule, losses)


def _forget_term(here: Session, objective: Objective, seed: int) -> ForgetTerm:
    direction = torch.rand(here.model.config.hidden_size, generator=torch.Generator().manual_seed(seed))
    return ForgetTerm(
        objective=objective,
        rows=here.asked.forget,
        refusals=here.asked.refusals,
        reference=here.reference,
        direction=direction.to(here.model.device),
    )


def _retain_term(here: Session, config: SweepConfig) -> RetainTerm:
    rows, weight = here.asked.retain, config.retain.weight
    if config.retain.term == "kl":
        return KLRetainTerm(rows=rows, weight=weight, reference=here.reference, length=here.asked.length)
    return NLLRetainTerm(rows=rows, weight=weight) if config.retain.term == "nll" else NoRetainTerm()


def _mean_loss(losses: list[float]) -> dict[str, float]:
    """The epoch's mean loss; nothing where a batch is larger than the epoch and no step fell into it."""
    return {"loss": fmean(losses)} if losses else {}


def _scored(here: Session, config: SweepConfig, candidate: Candidate, suite: Suite) -> Outcome:
    """The candidate's metrics with the calibrated score; leaves the model at the last mix that was measured."""
    here.weights.mix(here.model, candidate.weights, 1.0)
    final = candidate.point.metrics | suite(here)

    def mixed(m: float) -> Strength:
        if m == 1:
            return strength(final)
        here.weights.mix(here.model, candidate.weights, m)
        return strength(evaluate(here.model, here.probes))

    found = calibrate(mixed, strength(here.metrics), config.score.tau, TAUS)
    reason = "" if found.mix > 0 else f"no mix keeps {config.score.tau} of the reference's retain ES"
    return Outcome(metrics=final | _score_metrics(found), reason=reason)


def _worst(here: Session, config: SweepConfig, reason: str) -> Outcome:
    """The outcome of a trial that diverged: the worst score, the reference's forget ES."""
    forget = strength(here.metrics).forget
    curve = tuple((tau, forget) for tau in sorted({*TAUS, config.score.tau}))
    found = Calibration(score=forget, mix=0.0, curve=curve, evaluations=0)
    return Outcome(metrics=_score_metrics(found), reason=reason)


def _score_metrics(found: Calibration) -> dict[str, float]:
    return {"score": found.score, "mix": found.mix} | {f"score/tau_{tau}": score for tau, score in found.curve}
