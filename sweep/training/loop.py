"""The training loop: a stream of shuffled batches, AdamW with warm-up and decay, losses that come in parts."""

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from types import MethodType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

from eval.models.forward import blocks
from sweep.config.schema import SweepConfig
from sweep.training.distributed import computed, sum_gradients, summed, whole
from sweep.training.precision import adamw


@cache
def accelerator() -> Accelerator:
    """The process's one Accelerator (its state is a singleton)."""
    return Accelerator()


def stream(rows: int, batch: int, seed: int) -> Iterator[list[int]]:
    """An endless stream of shuffled epochs over `rows` rows, cut into batches; the cuts ignore the epochs' ends."""
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < batch:
            waiting += torch.randperm(rows, generator=generator).tolist()
        yield waiting[:batch]
        waiting = waiting[batch:]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a model is trained on N rows: AdamW (β .9/.999, ε 1e-8), linear warm-up over an epoch, linear decay to 0.

    Attributes:
        rows: N.
        epochs: passes over the rows.
        batch: rows of an optimizer step.
        lr: peak learning rate.
        weight_decay: AdamW's.
        clip: largest norm of the gradient; None: not clipped.
        checkpointing: whether the layers' activations are computed again in the backward pass.
    """

    rows: int
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    clip: float | None
    checkpointing: bool

    @property
    def steps(self) -> int:
        """⌊epochs · N / batch⌋, at least 1."""
        return max(1, self.epochs * self.rows // self.batch)

    def steps_of(self, epoch: int) -> int:
        """Steps done when an epoch (from 1; 0 is the start) is over; the last epoch ends with the last step."""
        return self.steps if epoch == self.epochs else epoch * self.rows // self.batch

    @property
    def warmup(self) -> int:
        """Steps of the linear warm-up: an epoch, at least 1."""
        return max(1, self.rows // self.batch)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What an optimizer step saw, still on the device: to read it is to wait for the device.

    Attributes:
        parts: the parts of the loss [P], each summed over the trial's processes.
        norm: the gradient's, before it was clipped; not finite where the gradient was not.
    """

    parts: Tensor
    norm: Tensor

    @property
    def loss(self) -> float:
        """The step's loss."""
        return float(sum(self.parts.tolist()))

    @property
    def flaw(self) -> str:
        """What was not finite; empty where all was."""
        values = {"loss": self.loss, "gradient": float(self.norm)}
        return next((name for name, value in values.items() if not math.isfinite(value)), "")


def descend(
    model: PreTrainedModel, schedule: Schedule, losses: Iterable[Iterable[Tensor]]
) -> Generator[Step, None, None]:
    """Train the model in place, one optimizer step for each of `losses`.

    A step's loss comes as parts that add up to it; each part is computed when it is asked for and its graph is freed
    before the next, so that a batch of any length fits. Between steps there are no gradients, and once the generator is
    over or closed no optimizer either. Of several processes each computes its own parts, as many as the others, and
    the sum of their gradients is clipped and followed.
    """
    optimizer = adamw(model, schedule.lr, schedule.weight_decay)
    decay = get_linear_schedule_with_warmup(optimizer, schedule.warmup, schedule.steps)
    with checkpointed(model) if schedule.checkpointing else nullcontext():
        for parts in islice(losses, schedule.steps):
            step = _step(model, optimizer, parts, schedule.clip)
            decay.step()
            yield step


def _step(model: PreTrainedModel, optimizer: Optimizer, parts: Iterable[Tensor], clip: float | None) -> Step:
    try:
        losses = summed(torch.stack([_backward(part) for part in _parts(model, parts)]))
        sum_gradients(model)
        norm = accelerator().clip_grad_norm_(model.parameters(), math.inf if clip is None else clip)
        optimizer.step()
    finally:  # broken or not: no gradient is left to the evaluation or to the next trial
        optimizer.zero_grad()
    return Step(parts=losses, norm=whole(norm))


def _parts(model: PreTrainedModel, parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """The parts, each computed where the model's weights can be had."""
    following = partial(next, iter(parts), None)
    while (part := computed(model, following)) is not None:
        yield part


def _backward(part: Tensor) -> Tensor:
    accelerator().backward(part)
    return part.detach()


@contextmanager
def checkpointed(model: PreTrainedModel) -> Iterator[None]:
    """For a while the layers keep no activations but their inputs, and are computed again in the backward pass.

    transformers' own switch works in training mode alone, in which the dropout of some models is on.
    """
    layers = blocks(model)
    for layer in layers:
        layer.forward = MethodType(_again, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _again(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    # Nothing is random in evaluation mode, so no state of a generator is kept.
    return checkpoint(type(layer).forward, layer, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def schedule_of(config: SweepConfig, rows: int) -> Schedule:
    """How a trial trains on that many forget rows."""
    train = config.train
    return Schedule(
        rows=rows,
        epochs=train.epochs,
        batch=train.batch,
        lr=train.lr,
        weight_decay=0.0,
        clip=train.clip,
        checkpointing=train.checkpointing,
    )
