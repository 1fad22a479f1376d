"""One trial on a warm worker: reset to the target, unlearn, measure each epoch, score."""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from statistics import fmean
from typing import TypeAlias

import torch

from eval.metrics.calibrated_score import Calibration, Strength, calibrate, strength
from eval.suite import evaluate, full
from objectives._base import Objective
from sweep.config.schema import TAUS, SweepConfig
from sweep.prepare.artifacts import Artifacts
from sweep.training.distributed import each_of
from sweep.training.loop import Schedule, Step, descend, schedule_of, stream
from sweep.training.loss_terms import terms
from sweep.training.out_of_memory import in_words
from sweep.training.weights import snapshot
from sweep.trial.outcomes import Outcome, Point
from sweep.trial.session import Session, session

RETAIN_STREAM = 2**31
"""Offset from a trial's seed to the seed that orders the retain rows."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Weights by which a trial is scored, on the CPU, and the epoch result that belongs to them."""

    point: Point
    weights: dict[str, torch.Tensor]


Suite: TypeAlias = Callable[[Session], dict[str, float]]


def search_suite(here: Session) -> dict[str, float]:
    """Measure nothing: the epoch result holds all that the score needs."""
    return {}


def full_suite(here: Session) -> dict[str, float]:
    """Measure all metrics with the model's current weights."""
    each = each_of(here.model)
    return full(here.model, here.tokenizer, here.template, here.dataset, retain=here.retain_values, each=each).metrics


def run(
    config: SweepConfig, artifacts: Artifacts, objective: Objective, seed: int, suite: Suite
) -> Generator[Point | Outcome, None, None]:
    """Run one trial; yield the results of its epochs, then the outcome.

    Args:
        config: the sweep, with the trial's setting.
        artifacts: the prepared target, reference and retain model.
        objective: the forget term.
        seed: seeds everything random in the trial.
        suite: measures further metrics at the end, which the score does not need.

    Raises:
        MemoryError: memory ran out; the message names settings that take less.
    """
    with in_words():
        here = session(config, artifacts)
        here.weights.reset(here.model)
        ended = yield from _unlearned(here, config, objective, seed)
        yield _worst(here, config, ended) if isinstance(ended, str) else _scored(here, config, ended, suite)


def _unlearned(
    here: Session, config: SweepConfig, objective: Objective, seed: int
) -> Generator[Point, None, Candidate | str]:
    """Train the model and yield the results of its epochs; return the candidate, or the reason why there is none.

    The optimizer and the gradients are freed before it returns.
    """
    schedule = schedule_of(config, len(here.asked.forget))
    candidate: Candidate | None = None
    with closing(_steps(here, config, schedule, objective, seed)) as steps:
        for epoch in range(1, schedule.epochs + 1):
            taken = list(islice(steps, schedule.steps_of(epoch) - schedule.steps_of(epoch - 1)))
            if flaw := next((step.flaw for step in taken if step.flaw), ""):
                return f"the {flaw} was not finite in epoch {epoch} of {schedule.epochs}"
            if epoch == schedule.epochs or (config.eval.every and epoch % config.eval.every == 0):
                point = Point(epoch=epoch, metrics=_mean_loss(taken) | _measured(here))
                if _preferred(here, config, point, candidate):
                    candidate = Candidate(point=point, weights=snapshot(here.model))
                yield point
    assert candidate is not None, "the last epoch has a result"
    return candidate


def _measured(here: Session) -> dict[str, float]:
    """Measure the cheap metrics with the model's current weights."""
    return evaluate(here.model, here.probes, each_of(here.model))


def _preferred(here: Session, config: SweepConfig, point: Point, candidate: Candidate | None) -> bool:
    """Decide if an epoch result replaces the candidate."""
    if config.search.epochs == "last":
        return point.epoch == config.train.epochs
    return candidate is None or _rank(here, config, point) <= _rank(here, config, candidate.point)


def _rank(here: Session, config: SweepConfig, point: Point) -> tuple[bool, float]:
    """Rank an epoch, lower is better: the most forgetful of those that keep τ without a mix, or else the last."""
    found = strength(point.metrics)
    lost = found.retain < config.score.tau * strength(here.metrics).retain
    return lost, -point.epoch if lost else found.forget


def _steps(
    here: Session, config: SweepConfig, schedule: Schedule, objective: Objective, seed: int
) -> Generator[Step, None, None]:
    """Take the training steps: each has a batch of forget rows and as many retain rows, one for each term."""
    forget, retain = terms(config, objective, seed, here.model, here.asked, here.reference)
    forget_rows = stream(len(here.asked.forget), schedule.batch, seed)
    # A stream of its own, so that the order of the retain rows does not depend on the number of forget rows.
    retain_rows = stream(len(here.asked.retain), schedule.batch, seed + RETAIN_STREAM)
    pairs = zip(forget_rows, retain_rows, strict=False)
    losses = (chain(forget.parts(here.model, f), retain.parts(here.model, r)) for f, r in pairs)
    return descend(here.model, schedule, losses)


def _mean_loss(steps: Sequence[Step]) -> dict[str, float]:
    """Return the epoch's mean loss, or nothing if no step fell into it because a batch is larger than the epoch."""
    return {"loss": fmean(step.loss for step in steps)} if steps else {}


def _scored(here: Session, config: SweepConfig, candidate: Candidate, suite: Suite) -> Outcome:
    """Score the candidate: its metrics with the calibrated score. The model keeps the last mix that was measured."""
    here.weights.mix(here.model, candidate.weights, 1.0)
    final = candidate.point.metrics | suite(here)

    def mixed(m: float) -> Strength:
        if m == 1:
            return strength(final)
        here.weights.mix(here.model, candidate.weights, m)
        return strength(_measured(here))

    found = calibrate(mixed, strength(here.metrics), config.score.tau, TAUS)
    if not math.isfinite(found.score):
        return _worst(here, config, "the forget ES was not finite")
    reason = "" if found.mix > 0 else f"no mix keeps {config.score.tau} of the reference's retain ES"
    return Outcome(metrics=final | _score_metrics(found), reason=reason)


def _worst(here: Session, config: SweepConfig, reason: str) -> Outcome:
    """Return the outcome of a trial that diverged, with the worst score: the reference's forget ES."""
    forget = strength(here.metrics).forget
    curve = tuple((tau, forget) for tau in sorted({*TAUS, config.score.tau}))
    found = Calibration(score=forget, mix=0.0, curve=curve, evaluations=0)
    return Outcome(metrics=_score_metrics(found), reason=reason)


def _score_metrics(found: Calibration) -> dict[str, float]:
    return {"score": found.score, "mix": found.mix} | {f"score/tau_{tau}": score for tau, score in found.curve}
