"""The training loop: a stream of shuffled batches, AdamW with warm-up and decay, losses that come in parts."""

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from types import MethodType
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from eval.models.forward import find_blocks
from sweep.config.schema import SweepConfig
from sweep.training.checkpoint import Checkpoint
from sweep.training.distributed import full_tensor, run_with_weights, shared_clock, sum_gradients, sum_over_ranks
from sweep.training.precision import build_optimizer

Part = TypeVar("Part")


@cache
def get_accelerator() -> Accelerator:
    """Return the process's only Accelerator (its state is a singleton)."""
    return Accelerator()


def shuffled_batches(rows: int, batch: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of row indices without end, cut from shuffled epochs; a batch may span two epochs."""
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < batch:
            waiting += torch.randperm(rows, generator=generator).tolist()
        yield waiting[:batch]
        waiting = waiting[batch:]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Training schedule over N rows: AdamW (β .9/.999, ε 1e-8), linear warm-up over an epoch, linear decay towards 0.

    Attributes:
        n_rows: N.
        n_epochs: passes over the rows.
        batch_size: rows of an optimizer step.
        lr: peak learning rate.
        warmup_from: number of the first step, 0 or 1; step s of W warm-up steps has the learning rate lr · s / W.
        weight_decay: AdamW's.
        max_grad_norm: largest norm of the gradient; None: not clipped.
        checkpointing: recompute the layers' activations in the backward pass.
    """

    n_rows: int
    n_epochs: int
    batch_size: int
    lr: float
    warmup_from: int
    weight_decay: float
    max_grad_norm: float | None
    checkpointing: bool

    @property
    def n_steps(self) -> int:
        """Number of optimizer steps: ⌊n_epochs · N / batch_size⌋, at least 1."""
        return max(1, self.n_epochs * self.n_rows // self.batch_size)

    def count_steps_until(self, epoch: int) -> int:
        """Count the steps until the end of an epoch (from 1; 0: the start); the last epoch ends with the last step."""
        return self.n_steps if epoch == self.n_epochs else epoch * self.n_rows // self.batch_size

    def find_epoch(self, n_steps: int) -> int:
        """Return the epoch (from 1) that goes on after so many steps: all epochs that end with them are over."""
        return next(e for e in range(1, self.n_epochs + 1) if self.count_steps_until(e) > n_steps) if n_steps else 1

    @property
    def n_warmup_steps(self) -> int:
        """Steps of the linear warm-up: those of one epoch, at least 1."""
        return max(1, self.n_rows // self.batch_size)

    def scale_lr(self, index: int) -> float:
        """Return the share of `lr` in a step, by its index from 0; with `warmup_from` 0 it is as in transformers."""
        number, end = index + self.warmup_from, self.n_steps + self.warmup_from
        if number < self.n_warmup_steps:
            return number / self.n_warmup_steps
        return max(0, end - number) / max(1, end - self.n_warmup_steps)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Losses and gradient norm of an optimizer step, still on the device: reading them waits for the device.

    Attributes:
        loss_parts: the parts of the loss [P], each summed over the trial's processes.
        grad_norm: the gradient's norm before clipping; not finite where the gradient was not.
        at: the time of the step by `shared_clock`.
    """

    loss_parts: Tensor
    grad_norm: Tensor
    at: float

    @property
    def loss(self) -> float:
        """The step's loss: the sum of its parts."""
        return float(sum(self.loss_parts.tolist()))

    @property
    def non_finite_quantity(self) -> str:
        """`loss` or `gradient`, the first of them that was not finite; empty where both were."""
        values = {"loss": self.loss, "gradient": float(self.grad_norm)}
        return next((name for name, value in values.items() if not math.isfinite(value)), "")


def train_steps(
    model: PreTrainedModel,
    schedule: Schedule,
    losses: Iterable[Iterable[Tensor]],
    checkpoint: Checkpoint | None = None,
) -> Generator[StepResult, None, None]:
    """Train the model in place, one optimizer step for each of `losses`; go on after the checkpoint's steps, if any.

    A step's loss comes as parts that add up to it. Each part is computed when it is requested, and its graph is freed
    before the next, so that a batch of any length fits into memory. Between steps there are no gradients, and once the
    generator is exhausted or closed there is no optimizer either. Each of several processes computes its own parts, as
    many as the others; the step uses the clipped sum of their gradients. A checkpoint that is due is written once the
    next step is asked for, when the caller has dealt with the last one.
    """
    kept = checkpoint or Checkpoint(None, {}, None, model)
    optimizer = build_optimizer(model, schedule.lr, schedule.weight_decay)
    before = kept.restore(model, optimizer)
    scheduler = LambdaLR(optimizer, schedule.scale_lr, last_epoch=before - 1)
    with checkpoint_layers(model) if schedule.checkpointing else nullcontext():
        for done, parts in enumerate(islice(losses, before, schedule.n_steps), start=before + 1):
            step = _take_step(model, optimizer, parts, schedule.max_grad_norm)
            scheduler.step()
            yield step
            kept.write_when_due(model, optimizer, done, step.at)


def _take_step(model: PreTrainedModel, optimizer: Optimizer, parts: Iterable[Tensor], clip: float | None) -> StepResult:
    try:
        losses = sum_over_ranks(torch.stack([_backpropagate_part(part) for part in compute_parts(model, parts)]))
        sum_gradients(model)
        norm = get_accelerator().clip_grad_norm_(model.parameters(), math.inf if clip is None else clip)
        optimizer.step()
    finally:  # after an error too: the evaluation and the next trial must find no gradient
        optimizer.zero_grad()
    return StepResult(loss_parts=losses, grad_norm=full_tensor(norm), at=shared_clock())


def compute_parts(model: PreTrainedModel, parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts, each computed while the model's weights are gathered."""
    following = partial(next, iter(parts), None)
    while (part := run_with_weights(model, following)) is not None:
        yield part


def _backpropagate_part(part: Tensor) -> Tensor:
    get_accelerator().backward(part)
    return part.detach()


@contextmanager
def checkpoint_layers(model: PreTrainedModel) -> Iterator[None]:
    """Let the layers keep only their inputs within the context, and recompute activations in the backward pass.

    transformers' own switch works only in training mode, which turns on the dropout of some models.
    """
    layers = find_blocks(model)
    for layer in layers:
        layer.forward = MethodType(_forward_checkpointed, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward_checkpointed(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    # Evaluation mode draws no random numbers, so the generator's state need not be kept.
    return checkpoint(type(layer).forward, layer, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def build_trial_schedule(config: SweepConfig, rows: int) -> Schedule:
    """Build the schedule of a trial that trains on this number of forget rows."""
    train = config.train
    return Schedule(
        n_rows=rows,
        n_epochs=train.epochs,
        batch_size=train.batch,
        lr=train.lr,
        warmup_from=train.warmup_from,
        weight_decay=0.0,
        max_grad_norm=train.clip,
        checkpointing=train.checkpointing,
    )
