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

Gradient: TypeAlias = Mapping[str, Tensor]
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


def dot(one: Tensor, other: Tensor) -> Tensor:
    """Return the product ⟨one, other⟩ of two tensors of equal shape, each product and the sum in float64."""
    pairs = zip(*(part.reshape(-1).split(MAX_CHUNK_VALUES) for part in (one, other)), strict=True)
    return torch.stack([left.double() @ right.double() for left, right in pairs]).sum()


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


def measure_effects(
    model: "PreTrainedModel", risks: Sequence[Gradient], parts: Iterable[Tensor], local: LocalFn
) -> Tensor:
    """Return the effect of a sum of parts on each risk by place [risks, L + 2], float64: this process's share of it.

    No gradient of the loss is held: each weight's is multiplied and freed as soon as the backward pass has it.

    Args:
        model: its weights have no gradient, before and afterwards.
        risks: the gradient of each risk.
        parts: the parts of the loss, each computed when it is asked for.
        local: returns the part of a gradient that this process holds.
    """
    places = place_weights(model)
    effects = torch.zeros(len(risks), max(places.values()) + 1, dtype=torch.float64, device=model.device)

    def multiply(name: str, weight: Tensor) -> None:
        assert weight.grad is not None
        gradient, weight.grad = local(weight.grad), None
        for risk, known in zip(effects, risks, strict=True):
            if name in known:
                risk[places[name]] += dot(known[name], gradient)

    with _call_with_gradients(model, multiply):
        for part in parts:
            part.backward()
    return effects


@contextmanager
def _call_with_gradients(model: nn.Module, work: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `work` with each weight's name and the weight, whenever a backward pass has completed its gradient."""
    handles = [
        weight.register_post_accumulate_grad_hook(partial(work, name))
        for name, weight in model.named_parameters()
        if weight.requires_grad
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad()
