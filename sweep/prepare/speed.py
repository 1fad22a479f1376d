"""Time steps of a model of the sweep's shape on this machine, in a few seconds and without its weights."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, repeat

import torch
from transformers import PreTrainedModel

from eval.models.forward import label_statistics
from eval.rows.encode import EncodedRow
from eval.rows.types import choose_evenly
from objectives._base import Objective
from sweep.config.schema import SweepConfig
from sweep.prepare.cost import ModelInfo, Speed
from sweep.prepare.memory import SweepRows, make_blank_reference, make_trained_model, touch_weights, unlearning_loss
from sweep.training.loop import Schedule, train_steps
from sweep.training.precision import COMPUTE_DTYPES
from sweep.training.reference import TrainingRows

MAX_PARAMETERS = 5e8
"""Parameters of the largest model that is timed: to fill its weights takes seconds."""
STEP_OPERATIONS = 1e11
"""Operations of a timed step, about: a second or two of one core."""
MAX_STEPS = 1000
"""Number of steps that are timed at most."""
TIMED_S = 0.7
"""Seconds within which runs of the same step begin; the quickest counts."""


def measure_speed(
    config: SweepConfig, objective: Objective, own: ModelInfo, rows: SweepRows, n_at_once: int
) -> Speed | None:
    """Time training steps and an evaluation on as many threads as a trial has; None where the model is too large.

    Args:
        config: the sweep, whose trials run on this machine's cores.
        objective: the forget term.
        own: what is known of the model; its weights are filled with random numbers.
        rows: the rows, of which some of all lengths are run.
        n_at_once: trials that run at once on this machine.
    """
    if own.n_parameters > MAX_PARAMETERS:
        return None
    n = _count_timed_rows(config, own, rows.training_rows)
    chosen, probes = _choose_training_rows(rows.training_rows, n), _choose_evenly(rows.probes, 2 * n)
    with _limit_threads(int(config.cluster.cpus)):
        model = make_trained_model(config, own.architecture, config.train.lora)
        bare_s, full_s = _time_steps(config, objective, model, chosen)
        read_s = _time_runs(lambda: label_statistics(model, probes))
    retain = 0 if config.retain.term == "none" else sum(chosen.retain_lengths)
    return Speed(
        step_s=bare_s,
        trained_s=max(0.0, full_s - bare_s) / (_count_positions(chosen.forget) + retain),
        read_s=read_s / _count_positions(probes),
        n_at_once=n_at_once,
    )


def _count_positions(rows: Sequence[EncodedRow]) -> int:
    return sum(len(row.inputs) for row in rows)


def _count_timed_rows(config: SweepConfig, own: ModelInfo, rows: TrainingRows) -> int:
    """Return how many forget and how many retain rows a timed step has: a batch, fewer of a large model."""
    lengths = [*(len(row.inputs) for row in rows.forget), *rows.retain_lengths]
    of_two_rows = 6 * own.n_parameters * 2 * sum(lengths) / len(lengths)
    return max(1, min(config.train.batch, int(STEP_OPERATIONS / of_two_rows)))


def _time_steps(
    config: SweepConfig, objective: Objective, model: PreTrainedModel, rows: TrainingRows
) -> tuple[float, float]:
    """Return the seconds of a step that runs no row, and of one on all these rows; the first makes the optimizer."""
    reference = make_blank_reference(model, rows, COMPUTE_DTYPES[config.train.precision])
    bare = (touch_weights(model) for _ in range(2))
    full = (unlearning_loss(config, objective, model, rows, reference) for _ in repeat(None))
    schedule = Schedule(
        n_rows=1,
        n_epochs=MAX_STEPS,
        batch_size=1,
        lr=1e-5,
        warmup_from=1,
        weight_decay=0.0,
        max_grad_norm=1.0,
        checkpointing=config.train.checkpointing,
    )
    with closing(train_steps(model, schedule, chain(bare, full))) as steps:
        next(steps)
        return _time_run(lambda: next(steps)), _time_runs(lambda: next(steps))


def _time_runs(run: Callable[[], object]) -> float:
    """Return the seconds of the quickest of the runs that begin within `TIMED_S`."""
    taken: list[float] = []
    while sum(taken) < TIMED_S and len(taken) < MAX_STEPS - 2:
        taken.append(_time_run(run))
    return min(taken)


def _time_run(run: Callable[[], object]) -> float:
    began = time.monotonic()
    run()
    return time.monotonic() - began


def _choose_training_rows(rows: TrainingRows, n: int) -> TrainingRows:
    """Choose n forget and n retain rows of all lengths."""
    return TrainingRows(
        forget=_choose_evenly(rows.forget, n),
        refusals=_choose_evenly(rows.refusals, n),
        retain=_choose_evenly(rows.retain, n),
        min_length=rows.min_length,
    )


def _choose_evenly(rows: Sequence[EncodedRow], n: int) -> list[EncodedRow]:
    """Choose at most n rows, from the shortest to the longest at equal distances."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    return [ordered[place] for place in choose_evenly(len(ordered), n)]


@contextmanager
def _limit_threads(n: int) -> Iterator[None]:
    """Compute on n threads, at least one, within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, n))
    try:
        yield
    finally:
        torch.set_num_threads(before)
