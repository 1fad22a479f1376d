"""How much memory a trial takes, found without taking any: our own step on tensors that have a shape but no data.

torch's FakeTensorMode runs each operation for the shape of its result alone, so that a step of a model with 7 billion
parameters costs seconds, and nothing is loaded. There is no formula that would have to be kept in step with the loop.
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
    """Bytes on a trial's device, of several on each of them, at the fullest moment of a stage.

    Attributes:
        weights: the model's.
        head: the frozen copy of the reference's head.
        gradients: one for each weight.
        optimizer: its state.
        activations: what else there is: activations, logits, what the reference says of the batch; of weights that are
            shared out those that are gathered.
    """

    weights: int
    head: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.head + self.gradients + self.optimizer + self.activations

    def shared_out(self, processes: int, gathered: int) -> "Memory":
        """What is on each of so many devices, where the weights that are gathered at once are whole."""
        return Memory(
            weights=self.weights // processes,
            head=self.head,
            gradients=self.gradients // processes,
            optimizer=self.optimizer // processes,
            activations=self.activations + gathered * (2 if self.gradients else 1),
        )


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The rows as tokens.

    Attributes:
        asked: what is trained on while unlearning.
        known: what the target is fine-tuned on.
        kept: what the retain model is fine-tuned on.
        probes: what an evaluation asks.
    """

    asked: Asked
    known: Sequence[Encoded]
    kept: Sequence[Encoded]
    probes: Sequence[Encoded]

    def tuned(self, config: SweepConfig) -> Sequence[Encoded]:
        """The rows of the largest fine-tuning that the preparation has to do; none where it has none."""
        if config.target.path is None:
            return self.known
        return self.kept if config.eval.suite == "full" else ()


class Alive(FakeTensorMode):
    """Runs operations on tensors without data, and counts the bytes they would have made that are not freed yet.

    Attributes:
        now: bytes alive.
        peak: the most since it was last set back.
    """

    def __init__(self) -> None:
        """Nothing is alive yet."""
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self._inside = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made, but not what torch makes to find its shape."""
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
        """How many bytes more than before are alive at the fullest moment of some work."""
        gc.collect()
        before = self.peak = self.now
        work()
        return self.peak - before


def parameters(architecture: PreTrainedConfig) -> int:
    """How many parameters a model has, by its configuration alone."""
    with FakeTensorMode():
        return sum(parameter.numel() for parameter in _bare(architecture, torch.float32, "sdpa").parameters())


def stages(
    config: SweepConfig, objective: Objective, architecture: PreTrainedConfig, texts: Texts
) -> dict[str, Memory]:
    """What unlearning, an evaluation in its course, and fine-tuning take at most, by stage.

    Each is given the longest rows that a pass may have. What comes after a training takes less, since the optimizer is
    gone by then: the mixes, and what is measured at a trial's end.

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
    """The loss of a trial's step, in parts."""
    forget, retain = terms(config, objective, 0, model, rows, reference)
    yield from forget.parts(model, range(len(rows.forget)))
    yield from retain.parts(model, range(len(rows.retain)))


def _tune(config: SweepConfig, model: PreTrainedModel, tuned: Sequence[Encoded]) -> Iterator[Tensor]:
    """The loss of a step of the fine-tuning, in parts."""
    tokens = config.train.tokens
    rows, passes = _heaviest(config, tuned, config.target.batch)
    yield from _touch(model) if passes > 1 else ()
    yield from nll_parts(model, tuned, rows, tokens)


def _touch(model: PreTrainedModel) -> Iterator[Tensor]:
    """A part of a loss that gives every weight its gradient, and so the optimizer its state, as any pass does."""
    yield torch.stack([parameter.sum() for parameter in model.parameters()]).sum()


def _bare(architecture: PreTrainedConfig, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """A model without weights; flash attention, which keeps no more than PyTorch's own, may not be there."""
    return empty_model(architecture, dtype, "eager" if attention == "eager" else "sdpa")


def _heaviest_asked(config: SweepConfig, asked: Asked) -> tuple[Asked, bool]:
    """The rows of a trial's heaviest passes, and whether its step has more than one."""
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
    """The longest rows that a pass of a process may have, and how many passes there are in their step."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].inputs))[:batch]
    lengths = [max(length, len(rows[i].inputs)) for i in order]
    own = [order[place] for place in deal(lengths, config.cluster.processes)[0]]
    groups = list(micro_batches(rows, own, config.train.tokens, length))
    return max(groups, key=lambda group: len(group) * max(length, len(rows[group[0]].inputs))), len(groups)


def _heaviest_probes(probes: Sequence[Encoded]) -> list[Encoded]:
    """The texts of an evaluation's heaviest pass."""
    return [probes[i] for i in by_length([len(row.inputs) for row in probes], TOKENS)[0]]


def _reference(model: PreTrainedModel, asked: Asked, dtype: torch.dtype) -> Reference:
    """What the reference would say of the rows."""
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
    """Bytes of the weights that a shared model holds whole at once: all but the layers, a layer, and the next one."""
    layers = [_bytes(layer.parameters()) for layer in blocks(model)]
    return _bytes(model.parameters()) - sum(layers) + 2 * max(layers)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
