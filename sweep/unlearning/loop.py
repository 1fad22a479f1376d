"""The training loop: a stream of shuffled batches, AdamW with warm-up and decay, losses that come in parts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

import torch
from accelerate import Accelerator
from torch.optim import AdamW
from transformers import PreTrainedModel, get_linear_schedule_with_warmup

TOKENS = 8192
"""Padded positions of one forward pass with gradient; a batch that has more is split, which changes no step."""


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
    """

    rows: int
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    clip: float | None

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


def descend(model: PreTrainedModel, schedule: Schedule, losses: Iterable[Iterable[torch.Tensor]]) -> Iterator[float]:
    """Train the model in place, one optimizer step for each of `losses`; yields the loss of each step.

    A step's loss comes as parts that add up to it; each part is computed when it is asked for and its graph is freed
    before the next, so that a batch of any length fits.
    """
    optimizer = AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
    decay = get_linear_schedule_with_warmup(optimizer, schedule.warmup, schedule.steps)
    for parts in islice(losses, schedule.steps):
        optimizer.zero_grad()
        loss = sum(_backward(part) for part in parts)
        if schedule.clip is not None:
            accelerator().clip_grad_norm_(model.parameters(), schedule.clip)
        optimizer.step()
        decay.step()
        yield loss


def _backward(part: torch.Tensor) -> float:
    accelerator().backward(part)
    return float(part.detach())
