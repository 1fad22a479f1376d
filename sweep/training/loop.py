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
    """Return the process's only Accelerator (its state is a singleton)."""
    return Accelerator()


def stream(rows: int, batch: int, seed: int) -> Iterator[list[int]]:
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
    """Training schedule over N rows: AdamW (β .9/.999, ε 1e-8), linear warm-up over an epoch, linear decay to 0.

    Attributes:
        n_rows: N.
        n_epochs: passes over the rows.
        batch_size: rows of an optimizer step.
        lr: peak learning rate.
        weight_decay: AdamW's.
        max_grad_norm: largest norm of the gradient; None: not clipped.
        checkpointing: recompute the layers' activations in the backward pass.
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
        """Number of optimizer steps: ⌊n_epochs · N / batch_size⌋, at least 1."""
        return max(1, self.epochs * self.rows // self.batch)

    def steps_of(self, epoch: int) -> int:
        """Count the steps until the end of an epoch (from 1; 0: the start); the last epoch ends with the last step."""
        return self.steps if epoch == self.epochs else epoch * self.rows // self.batch

    @property
    def warmup(self) -> int:
        """Steps of the linear warm-up: those of one epoch, at least 1."""
        return max(1, self.rows // self.batch)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Losses and gradient norm of an optimizer step, still on the device: reading them waits for the device.

    Attributes:
        loss_parts: the parts of the loss [P], each summed over the trial's processes.
        grad_norm: the gradient's norm before clipping; not finite where the gradient was not.
    """

    parts: Tensor
    norm: Tensor

    @property
    def loss(self) -> float:
        """The step's loss: the sum of its parts."""
        return float(sum(self.parts.tolist()))

    @property
    def flaw(self) -> str:
        """`loss` or `gradient`, the first of them that was not finite; empty where both were."""
        values = {"loss": self.loss, "gradient": float(self.norm)}
        return next((name for name, value in values.items() if not math.isfinite(value)), "")


def descend(
    model: PreTrainedModel, schedule: Schedule, losses: Iterable[Iterable[Tensor]]
) -> Generator[Step, None, None]:
    """Train the model in place, one optimizer step for each of `losses`.

    A step's loss comes as parts that add up to it. Each part is computed when it is requested, and its graph is freed
    before the next, so that a batch of any length fits into memory. Between steps there are no gradients, and once the
    generator is exhausted or closed there is no optimizer either. Each of several processes computes its own parts, as
    many as the others; the step uses the clipped sum of their gradients.
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
    finally:  # after an error too: the evaluation and the next trial must find no gradient
        optimizer.zero_grad()
    return Step(parts=losses, norm=whole(norm))


def _parts(model: PreTrainedModel, parts: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the parts, each computed while the model's weights are gathered."""
    following = partial(next, iter(parts), None)
    while (part := computed(model, following)) is not None:
        yield part


def _backward(part: Tensor) -> Tensor:
    accelerator().backward(part)
    return part.detach()


@contextmanager
def checkpointed(model: PreTrainedModel) -> Iterator[None]:
    """Let the layers keep only their inputs within the context, and recompute activations in the backward pass.

    transformers' own switch works only in training mode, which turns on the dropout of some models.
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
    # Evaluation mode draws no random numbers, so the generator's state need not be kept.
    return checkpoint(type(layer).forward, layer, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def schedule_of(config: SweepConfig, rows: int) -> Schedule:
    """Build the schedule of a trial that trains on this number of forget rows."""
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
