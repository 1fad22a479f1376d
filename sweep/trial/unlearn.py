"""One trial on a warm worker: reset to the target, unlearn, measure each epoch, score."""

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

from torch import Tensor

from eval.metrics.calibrated_score import (
    Calibration,
    ExtractionStrengths,
    calibrate_score,
    extraction_strengths,
    take_lower,
)
from eval.suite import SuiteReport, evaluate, evaluate_full
from objectives._base import Objective
from sweep.config.schema import EXTRA_TAUS, SweepConfig
from sweep.prepare.artifacts import Artifacts
from sweep.records import GEffect, StepProgress
from sweep.results.saved_models import COMPARED_PREFIX
from sweep.training.checkpoint import Checkpoint
from sweep.training.distributed import distributed_map
from sweep.training.g_effect import GEffectProbe, measure_before_steps
from sweep.training.loop import Schedule, StepResult, build_trial_schedule, shuffled_batches, train_steps
from sweep.training.lora import compute_merged
from sweep.training.loss_terms import build_terms
from sweep.training.out_of_memory import translate_out_of_memory
from sweep.training.progress_meter import ProgressMeter
from sweep.training.weights import snapshot_weights
from sweep.trial.answers import collect_answers
from sweep.trial.outcomes import EpochResult, GEffectResult, TrialItem, TrialOutcome
from sweep.trial.session import Session, SuiteFn, get_session
from sweep.trial.state import Candidate, TrialState

RETAIN_SEED_OFFSET = 2**31
"""Offset from a trial's seed to the seed that orders the retain rows."""
UNRELATED_KEYS = {"cluster", "storage", "artifacts", "ledger", "experiment"}
"""Blocks and keys of the configuration that change no number of a trial."""
REPORT_INTERVAL_S = 30.0
"""Time between two reports of a trial's steps: the one driver handles those of all workers."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The weights by which a trial may be scored.

    Attributes:
        last: those of its last epoch.
        kept: those of the earlier epoch that forgets most among those that keep τ without a mix; None where none does,
            or none is looked for.
    """

    last: Candidate
    kept: Candidate | None


SaveFn: TypeAlias = Callable[[Session, Callable[[float], None], TrialOutcome], str]
"""Function that saves the weights of a trial with this outcome, which the second argument mixes into the model."""


NOTHING_MEASURED = SuiteReport(metrics={}, rows={}, left_out={})


def measure_search_suite(session: Session) -> SuiteReport:
    """Measure nothing: the epoch result holds all that the score needs."""
    return NOTHING_MEASURED


def measure_full_suite(session: Session) -> SuiteReport:
    """Measure all metrics with the model's current weights."""
    each = distributed_map(session.model)
    with compute_merged(session.model):
        return evaluate_full(
            session.model, session.tokenizer, session.template, session.dataset, retain=session.retain_values, each=each
        )


def save_nothing(session: Session, set_mix: Callable[[float], None], outcome: TrialOutcome) -> str:
    """Save nothing; a `SaveFn`."""
    return ""


def run_unlearning(
    config: SweepConfig,
    artifacts: Artifacts,
    objective: Objective,
    seed: int,
    suite: SuiteFn,
    compared_suite: SuiteFn = measure_search_suite,
    save: SaveFn = save_nothing,
    checkpoint_folder: Path | None = None,
) -> Generator[TrialItem, None, None]:
    """Run one trial; yield the results of its epochs, in between effects and progress, then the outcome.

    Args:
        config: the sweep, with the trial's setting.
        artifacts: the prepared target, reference and retain model.
        objective: the forget term.
        seed: seeds everything random in the trial.
        suite: measures further metrics at the end (m = 1), which the score does not need.
        compared_suite: measures the metrics of the mix θ(m*) that was scored, and those of the target.
        save: saves the weights.
        checkpoint_folder: where the trial keeps a checkpoint while it trains, and finds one to go on from; None: none.

    Raises:
        MemoryError: memory ran out; the message names settings that take less.
    """
    with translate_out_of_memory():
        session = get_session(config, artifacts)
        session.target_weights.reset(session.model, seed)
        if compared_suite not in session.target_reports:
            session.target_reports[compared_suite] = compared_suite(session)
        inputs = {"config": config.model_dump(exclude=UNRELATED_KEYS), "objective": repr(objective), "seed": seed}
        inputs |= {"target": artifacts.target.name, "reference": artifacts.reference.name}
        checkpoint = Checkpoint(checkpoint_folder, inputs, config.cluster.checkpoint, session.model)
        ended = yield from _train_epochs(session, config, objective, seed, checkpoint)
        outcome = (
            _worst_outcome(session, config, ended)
            if isinstance(ended, str)
            else _score_candidates(session, config, ended, suite, compared_suite, save)
        )
        checkpoint.remove()
        yield outcome


def _train_epochs(
    session: Session, config: SweepConfig, objective: Objective, seed: int, checkpoint: Checkpoint
) -> Generator[EpochResult | GEffectResult | StepProgress, None, Candidates | str]:
    """Train the model and yield the results of its epochs; return the candidates, or the reason why there are none.

    A trial that goes on from a checkpoint yields its earlier results again. The optimizer and the gradients are freed
    before it returns.
    """
    schedule = build_trial_schedule(config, len(session.training_rows.forget))
    state, done = TrialState.from_notes(checkpoint.notes), checkpoint.n_steps
    checkpoint.collect_notes = state.to_notes
    yield from state.results
    yield from (GEffectResult(g_effect=one) for one in state.g_effects)
    if done:
        yield StepProgress(done=done, total=schedule.n_steps, goes_on=True)
    meter = _start_meter(session, config, schedule, done)
    with closing(_iterate_steps(session, config, schedule, objective, seed, checkpoint, state.g_effects)) as steps:
        for epoch in range(schedule.find_epoch(done), schedule.n_epochs + 1):
            for step in islice(steps, schedule.count_steps_until(epoch) - done):
                done += 1
                state.taken.append(step)
                yield from (GEffectResult(g_effect=one) for one in state.g_effects if one["step"] == done - 1)
                if pace := meter.measure_pace(step, done):
                    yield StepProgress(done=done, total=schedule.n_steps, pace=pace)
            if flaw := next((step.non_finite_quantity for step in state.taken if step.non_finite_quantity), ""):
                return f"the {flaw} was not finite in epoch {epoch} of {schedule.n_epochs}"
            if epoch == schedule.n_epochs or (config.eval.every and epoch % config.eval.every == 0):
                result = EpochResult(epoch=epoch, metrics=_mean_loss(state.taken) | _measure_metrics(session))
                state.results.append(result)
                may_keep = config.search.epochs == "best" and epoch < schedule.n_epochs
                if may_keep and _is_better_kept(session, config, result, state.kept):
                    state.kept = Candidate(result=result, weights=snapshot_weights(session.model))
                yield result
            state.taken.clear()
    return Candidates(last=Candidate(result=result, weights=snapshot_weights(session.model)), kept=state.kept)


def _start_meter(session: Session, config: SweepConfig, schedule: Schedule, n_steps: int) -> ProgressMeter:
    """Start the meter of a trial: a step has a batch of forget rows and, if there is a retain term, of retain rows."""
    forget, retain = [len(row.inputs) for row in session.training_rows.forget], session.training_rows.retain_lengths
    lengths = [forget] if config.retain.term == "none" else [forget, retain]
    return ProgressMeter(schedule, lengths, interval_s=REPORT_INTERVAL_S, n_steps=n_steps)


def _measure_metrics(session: Session) -> dict[str, float]:
    """Measure the cheap metrics with the model's current weights."""
    with compute_merged(session.model):
        return evaluate(session.model, session.probes, distributed_map(session.model))


def _is_better_kept(session: Session, config: SweepConfig, result: EpochResult, kept: Candidate | None) -> bool:
    """Return True if an epoch keeps τ without a mix, and forgets more than the best that did so before."""
    found = extraction_strengths(result.metrics)
    if found.retain < config.score.tau * extraction_strengths(session.reference_metrics).retain:
        return False
    return kept is None or found.forget < extraction_strengths(kept.result.metrics).forget


def _iterate_steps(
    session: Session,
    config: SweepConfig,
    schedule: Schedule,
    objective: Objective,
    seed: int,
    checkpoint: Checkpoint,
    g_effects: list[GEffect],
) -> Generator[StepResult, None, None]:
    """Take the training steps: each has a batch of forget rows and as many retain rows, one for each term.

    Gradient effects that are due before a step are added to `g_effects`.
    """
    forget, retain = build_terms(config, objective, seed, session.model, session.training_rows, session.reference)
    forget_rows = shuffled_batches(len(session.training_rows.forget), schedule.batch_size, seed)
    # A stream of its own, so that the order of the retain rows does not depend on the number of forget rows.
    retain_rows = shuffled_batches(len(session.training_rows.retain), schedule.batch_size, seed + RETAIN_SEED_OFFSET)
    pairs = zip(forget_rows, retain_rows, strict=False)
    losses: Iterable[Iterable[Tensor]] = (
        chain(forget.loss_parts(session.model, f), retain.loss_parts(session.model, r)) for f, r in pairs
    )
    if (options := config.eval.g_effect) is not None:
        probe = GEffectProbe(
            forget=forget,
            retain=retain,
            n_retain=len(session.training_rows.retain),
            holdout=session.probes.parts["retain/es"],
            options=options,
        )
        due = {n for n in range(checkpoint.n_steps, schedule.n_steps) if n % options.every == 0}
        losses = measure_before_steps(probe, session.model, losses, due, g_effects)
    return train_steps(session.model, schedule, losses, checkpoint)


def _mean_loss(steps: Sequence[StepResult]) -> dict[str, float]:
    """Return the epoch's mean loss, or nothing if no step fell into it because a batch is larger than the epoch."""
    return {"loss": fmean(step.loss for step in steps)} if steps else {}


def _score_candidates(
    session: Session,
    config: SweepConfig,
    trained: Candidates,
    suite: SuiteFn,
    compared_suite: SuiteFn,
    save: SaveFn,
) -> TrialOutcome:
    """Score the last epoch, mixed as far as needed, or the kept one where that is lower, with its own metrics."""
    reference, chosen = extraction_strengths(session.reference_metrics), trained.last

    def measure_mix(m: float) -> ExtractionStrengths:
        if m == 1:
            return extraction_strengths(trained.last.result.metrics)
        session.target_weights.mix(session.model, trained.last.weights, m)
        return extraction_strengths(_measure_metrics(session))

    found = calibrate_score(measure_mix, reference, config.score.tau, EXTRA_TAUS)
    if not math.isfinite(found.score):
        return _worst_outcome(session, config, "the forget ES was not finite")
    if trained.kept is not None:
        unmixed = extraction_strengths(trained.kept.result.metrics)
        chosen = trained.kept if unmixed.forget < found.score else trained.last
        found = take_lower(found, config.score.tau, unmixed, reference)
    reason = "" if found.mix > 0 else f"no mix keeps {config.score.tau} of the reference's retain ES"
    set_mix = partial(session.target_weights.mix, session.model, chosen.weights)
    set_mix(1.0)
    compared = own = suite(session)
    if found.mix < 1 or compared_suite is not suite:
        set_mix(found.mix)
        compared = compared_suite(session) if found.mix > 0 else NOTHING_MEASURED
    mixed = {f"{COMPARED_PREFIX}{key}": value for key, value in compared.metrics.items()}
    target = session.target_reports[compared_suite]
    outcome = TrialOutcome(
        metrics=chosen.result.metrics | own.metrics | mixed | _score_metrics(found),
        reason=reason,
        answers=collect_answers(session.dataset, target, compared if found.mix > 0 else target, own),
        target_metrics=target.metrics,
    )
    return replace(outcome, unsaved=save(session, set_mix, outcome))


def _worst_outcome(session: Session, config: SweepConfig, reason: str) -> TrialOutcome:
    """Return the outcome of a trial that diverged, with the worst score: the reference's forget ES."""
    forget = extraction_strengths(session.reference_metrics).forget
    curve = tuple((tau, forget) for tau in sorted({*EXTRA_TAUS, config.score.tau}))
    found = Calibration(score=forget, mix=0.0, curve=curve, evaluations=0)
    return TrialOutcome(metrics=_score_metrics(found), reason=reason)


def _score_metrics(found: Calibration) -> dict[str, float]:
    return {"score": found.score, "mix": found.mix} | {f"score/tau_{tau}": score for tau, score in found.curve}
