"""The gradient effect (G-effect) of a loss L on a risk R: ⟨∇R, ∇L⟩ over the trained weights, as they are now.

A small step −η ∇L changes the risk by −η · effect: a loss with a positive effect lowers the risk, one with a negative
effect raises it. A sum of losses has the sum of their effects, and the effect is the sum over all weights, so that it
can be told apart by row, by term of the loss and by layer. Source: Wang et al., Rethinking LLM Unlearning Objectives,
ICLR 2025 (arXiv 2502.19301), section 3; their code has one number for each of five groups of layers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from eval.models.forward import find_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel  # takes seconds to import

Gradient: TypeAlias = dict[str, Tensor]
"""Gradient by name of the weight; of sharded weights this process's part."""
LocalFn: TypeAlias = Callable[[Tensor], Tensor]
"""Function from a gradient to the part of it that this process holds."""
MAX_CHUNK_VALUES = 2**24
"""Values that are multiplied in float64 at once."""


def place_weights(model: "PreTrainedModel") -> dict[str, int]:
    """Return the place of each weight, by name: 0 before the layers, n in the n-th of L layers, L + 1 behind them.

    Place 0 has the embeddings; the last one has the last norm and the head, unless the head's weights are those of the
    embeddings.
    """
    blocks = find_blocks(model)
    within = {id(weight): place for place, block in enumerate(blocks, 1) for weight in block.parameters()}
    places: dict[str, int] = {}
    outside = 0
    for name, weight in model.named_parameters():
        if id(weight) in within:
            outside = len(blocks) + 1
        places[name] = within.get(id(weight), outside)
    return places


def sum_thirds(by_place: Sequence[float]) -> dict[str, float]:
    """Sum an effect by place [L + 2] over the shallow, middle and deep third of the layers, beside both ends."""
    embeddings, *layers, head = by_place
    thirds = {"shallow": 0.0, "middle": 0.0, "deep": 0.0}
    for index, value in enumerate(layers):
        thirds[[*thirds][3 * index // len(layers)]] += value
    return {"embeddings": embeddings, **thirds, "head": head}


def take_gradient(
    model: nn.Module, parts: Iterable[Tensor], local: LocalFn, finish: Callable[[nn.Module], None]
) -> Gradient:
    """Return the gradient of a sum of parts, and leave the model without gradients.

    Args:
        model: its weights have no gradient yet.
        parts: the parts of the sum, each computed when it is asked for.
        local: returns the part of a gradient that this process holds.
        finish: completes the model's gradients before they are taken, where several processes have parts of them.
    """
    try:
        for part in parts:
            part.backward()
        finish(model)
        return {name: local(weight.grad) for name, weight in model.named_parameters() if weight.grad is not None}
    finally:
        model.zero_grad()


def stack_gradients(risks: Sequence[Gradient]) -> Gradient:
    """Stack the gradients of several risks, by weight of n values [risks, n]; empties those that were given."""
    names = dict.fromkeys(name for risk in risks for name in risk)
    return {name: _stack_values([risk.pop(name, None) for risk in risks]) for name in names}


def _stack_values(values: Sequence[Tensor | None]) -> Tensor:
    known = next(value for value in values if value is not None)
    return torch.stack([torch.zeros_like(known) if value is None else value for value in values]).flatten(1)


def measure_effects(
    model: "PreTrainedModel", risks: Gradient, losses: Iterable[Iterable[Tensor]], local: LocalFn
) -> Tensor:
    """Return the effect of each loss on each risk by place [losses, risks, L + 2], float64: this process's share of it.

    No gradient of a loss is held: each weight's is multiplied and freed as soon as a backward pass has it.

    Args:
        model: its weights have no gradient, before and afterwards.
        risks: the stacked gradients of the risks.
        losses: the parts of each loss, all computed when they are asked for.
        local: returns the part of a gradient that this process holds.
    """
    places = place_weights(model)
    n_risks = len(next(iter(risks.values())))
    totals = torch.zeros(max(places.values()) + 1, n_risks, dtype=torch.float64, device=model.device)

    def multiply(total: Tensor, known: Tensor, weight: Tensor) -> None:
        assert weight.grad is not None
        add_products(total, known, local(weight.grad).reshape(-1))
        weight.grad = None

    effects = []
    works = {name: partial(multiply, totals[places[name]], known) for name, known in risks.items()}
    with _call_with_gradients(model, works):
        for parts in losses:
            totals.zero_()
            for part in parts:
                part.backward()
            effects.append(totals.T.clone())
    return torch.stack(effects)


def add_products(total: Tensor, rows: Tensor, values: Tensor) -> None:
    """Add the product ⟨row, values⟩ of each row [rows, n] with the values [n] to the total [rows], all in float64."""
    for left, right in zip(rows.split(MAX_CHUNK_VALUES, 1), values.split(MAX_CHUNK_VALUES), strict=True):
        total.add_(left.double() @ right.double())


@contextmanager
def _call_with_gradients(model: nn.Module, works: Mapping[str, Callable[[Tensor], None]]) -> Iterator[None]:
    """Call the work of a weight with it, whenever a backward pass has completed its gradient."""
    handles = [
        weight.register_post_accumulate_grad_hook(works[name])
        for name, weight in model.named_parameters()
        if name in works
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad()
