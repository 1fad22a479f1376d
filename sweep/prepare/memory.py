"""Measure the peak memory of a trial without allocating it: run our own training step on tensors without data.

torch's FakeTensorMode computes only the shape of each operation's result, so that a step of a model with 7 billion
parameters takes seconds, and no weights are loaded. No formula has to be kept consistent with the training loop.
"""

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedConfig, PreTrainedModel

from eval.models.checkpoint import empty_model
from eval.models.forward import TOKENS, blocks, head_of, label_statistics
from eval.rows.encode import Encoded, by_length
from objectives._base import Objective
from sweep.config.schema import SweepConfig
from sweep.training.distributed import deal
from sweep.training.loop import Schedule, descend
from sweep.training.loss_terms import micro_batches, nll_parts, terms
from sweep.training.precision import COMPUTED, STORED, ready
from sweep.training.reference import Asked, Reference, Said, frozen


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peak bytes of a stage on each of a trial's devices, by part.

    Attributes:
        weights: the model's weights.
        head: the frozen copy of the reference's head.
        gradients: one for each weight.
        optimizer: its state.
        activations: everything else: activations, logits, the reference's outputs for the batch, and with sharded
            weights those that are gathered.
    """

    weights: int
    head: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """Sum of all parts."""
        return self.weights + self.head + self.gradients + self.optimizer + self.activations

    def shared_out(self, processes: int, gathered: int) -> "Memory":
        """Return the memory on each of several devices: sharded, plus the weights that are gathered at the same time.

        Args:
            processes: number of devices.
            gathered: bytes of the weights that are gathered at the same time.
        """
        return Memory(
            weights=self.weights // processes,
            head=self.head,
            gradients=self.gradients // processes,
            optimizer=self.optimizer // processes,
            activations=self.activations + gathered * (2 if self.gradients else 1),
        )


@dataclass(frozen=True, kw_only=True)
class Texts:
    """All rows of a sweep as tokens.

    Attributes:
        training_rows: rows of unlearning.
        target_rows: rows on which the target is fine-tuned.
        retain_model_rows: rows on which the retain model is fine-tuned.
        probes: rows of an evaluation.
    """

    asked: Asked
    known: Sequence[Encoded]
    kept: Sequence[Encoded]
    probes: Sequence[Encoded]

    def tuned(self, config: SweepConfig) -> Sequence[Encoded]:
        """Return the rows of the largest fine-tuning in the preparation; none if it has no fine-tuning."""
        if config.target.path is None:
            return self.known
        return self.kept if config.eval.suite == "full" else ()


class Alive(FakeTensorMode):
    """FakeTensorMode that tracks the current and the peak number of allocated bytes.

    Attributes:
        current: bytes that are allocated.
        peak: maximum of `current` since the last reset.
    """

    def __init__(self) -> None:
        """Start with nothing allocated."""
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self._inside = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the bytes of its result, but not those that torch allocates to find its shape."""
        if self._inside:
            return super().__torch_dispatch__(func, types, args, kwargs)
        self._inside = True
        try:
            made = super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            self._inside = False
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self.now -= size

    def most(self, work: Callable[[], object]) -> int:
        """Call `work` and return the peak of the bytes that it allocates beyond those allocated before."""
        gc.collect()
        before = self.peak = self.now
        work()
        return self.peak - before


def parameters(architecture: PreTrainedConfig) -> int:
    """Count the parameters of a model from its configuration alone."""
    with FakeTensorMode():
        return sum(parameter.numel() for parameter in _bare(architecture, torch.float32, "sdpa").parameters())


def stages(
    config: SweepConfig, objective: Objective, architecture: PreTrainedConfig, texts: Texts
) -> dict[str, Memory]:
    """Measure the peak memory of unlearning, of an evaluation during it, and of fine-tuning, by stage.

    Each stage runs on the longest rows that a pass may have. The steps after training (mixes, and metrics at a trial's
    end) take less, since the optimizer is freed by then.

    Args:
        config: the sweep.
        objective: the forget term.
        architecture: the model's configuration.
        texts: the rows.
    """
    train, tuned = config.train, texts.tuned(config)
    schedule = Schedule(
        rows=1, epochs=3, batch=1, lr=1e-5, weight_decay=0.0, clip=1.0, checkpointing=train.checkpointing
    )
    with Alive() as alive:
        model = ready(_bare(architecture, STORED[train.precision], train.attention), train.precision)
        rows, several = _heaviest_asked(config, texts.asked)
        reference = _reference(model, rows, COMPUTED[train.precision])
        unlearn = _unlearn(config, objective, model, rows, reference)
        weights, head = _bytes(model.parameters()), _bytes(reference.head.parameters())
        before = alive.now
        losses = [_touch(model), chain(_touch(model) if several else (), unlearn), _tune(config, model, tuned)]
        with closing(descend(model, schedule, losses)) as steps:
            next(steps)
            training = Memory(
                weights=weights, head=head, gradients=weights, optimizer=alive.now - before, activations=0
            )
            unlearning = alive.most(lambda: next(steps)) - weights
            evaluation = alive.most(lambda: label_statistics(model, _heaviest_probes(texts.probes)))
            tuning = alive.most(lambda: next(steps)) - weights if tuned else 0
    found = {
        "unlearning": replace(training, activations=unlearning),
        "evaluation": replace(training, activations=evaluation, gradients=0),
    }
    found |= {"fine-tuning": replace(training, activations=tuning, head=0)} if tuned else {}
    if train.parallel == "ddp":
        return found
    gathered = _gathered(model)
    return {name: stage.shared_out(config.cluster.processes, gathered) for name, stage in found.items()}


def _unlearn(
    config: SweepConfig, objective: Objective, model: PreTrainedModel, rows: Asked, reference: Reference
) -> Iterator[Tensor]:
    """Yield the loss of a trial's step in parts."""
    forget, retain = terms(config, objective, 0, model, rows, reference)
    yield from forget.parts(model, range(len(rows.forget)))
    yield from retain.parts(model, range(len(rows.retain)))


def _tune(config: SweepConfig, model: PreTrainedModel, tuned: Sequence[Encoded]) -> Iterator[Tensor]:
    """Yield the loss of a fine-tuning step in parts."""
    tokens = config.train.tokens
    rows, passes = _heaviest(config, tuned, config.target.batch)
    yield from _touch(model) if passes > 1 else ()
    yield from nll_parts(model, tuned, rows, tokens)


def _touch(model: PreTrainedModel) -> Iterator[Tensor]:
    """Yield one loss part that sets the gradient of every weight, and so the optimizer's state, as any pass does."""
    yield torch.stack([parameter.sum() for parameter in model.parameters()]).sum()


def _bare(architecture: PreTrainedConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """Make a model without weights; sdpa replaces flash attention, which saves no more and may not be installed."""
    return empty_model(architecture, dtype, "eager" if attention == "eager" else "sdpa")


def _heaviest_asked(config: SweepConfig, asked: Asked) -> tuple[Asked, bool]:
    """Return the rows of a trial's heaviest passes, and True if its step has more than one pass."""
    forget, one = _heaviest(config, asked.forget, config.train.batch)
    retain, other = _heaviest(config, asked.retain, config.train.batch, asked.length)
    rows = Asked(
        forget=[asked.forget[i] for i in forget],
        refusals=[asked.refusals[i] for i in forget],
        retain=[asked.retain[i] for i in retain],
        length=asked.length,
    )
    return rows, one + (0 if config.retain.term == "none" else other) > 1


def _heaviest(config: SweepConfig, rows: Sequence[Encoded], batch: int, length: int = 0) -> tuple[list[int], int]:
    """Return the indices of the longest rows that a process's pass may have, and the number of passes in their step."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].inputs))[:batch]
    lengths = [max(length, len(rows[i].inputs)) for i in order]
    own = [order[place] for place in deal(lengths, config.cluster.processes)[0]]
    groups = list(micro_batches(rows, own, config.train.tokens, length))
    return max(groups, key=lambda group: len(group) * max(length, len(rows[group[0]].inputs))), len(groups)


def _heaviest_probes(probes: Sequence[Encoded]) -> list[Encoded]:
    """Return the rows of an evaluation's heaviest pass."""
    return [probes[i] for i in by_length([len(row.inputs) for row in probes], TOKENS)[0]]


def _reference(model: PreTrainedModel, asked: Asked, dtype: torch.dtype) -> Reference:
    """Return the reference's outputs for the rows, as tensors without data."""
    width = model.config.hidden_size
    return Reference(
        head=frozen(head_of(model), dtype),
        forget=_said(asked.forget, width, dtype),
        refusal=_said(asked.refusals, width, dtype),
        retain=tuple(torch.empty(positions, width, dtype=dtype) for positions in asked.positions),
    )


def _said(rows: Sequence[Encoded], width: int, dtype: torch.dtype) -> Said:
    n = [len(row.labels) for row in rows]
    return Said(
        logp=tuple(torch.empty(tokens) for tokens in n),
        hidden=tuple(torch.empty(tokens, width, dtype=dtype) for tokens in n),
    )


def _gathered(model: PreTrainedModel) -> int:
    """Count the bytes that a sharded model gathers at once: weights outside the layers, a layer, and the next one."""
    layers = [_bytes(layer.parameters()) for layer in blocks(model)]
    return _bytes(model.parameters()) - sum(layers) + 2 * max(layers)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
