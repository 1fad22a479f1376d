"""A trial on several processes: who takes which rows, what is summed, and which part of a weight a process holds.

Alone, a process takes all rows and holds all weights, and nothing here changes a bit of what it does. Together they
take the same steps on the same batches: `train.parallel` says whether each holds the whole model (`ddp`) or its share
of every weight, gradient and state of the optimizer (`fsdp`: PyTorch's FSDP2, which gathers a layer while it is
computed). All of them run the same code in the same order; whatever decides how it goes on is summed or gathered first.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not named in __all__
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from eval.models.forward import Each, blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel  # takes seconds to import


NODE = "127.0.0.1"
PATIENCE = timedelta(hours=24)
"""How long a process waits for the others: the first may wait for another sweep that makes the same artifact."""

Found = TypeVar("Found")
Group = TypeVar("Group")


def size() -> int:
    """How many processes the trial has."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0; process 0 is the one that writes and reports."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def place() -> TCPStore:
    """Where the processes of a node find one another: held by process 0, at a port that was free."""
    return TCPStore(NODE, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)


def join(port: int, rank: int, size: int) -> None:
    """Find the others at the port; a process that sees GPUs takes that of its rank."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}  # for accelerate
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    store = TCPStore(NODE, port, is_master=False, timeout=PATIENCE)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)


def deal(lengths: Sequence[int], hands: int) -> list[list[int]]:
    """Places of `lengths` dealt to so many hands, the longest first, each to the hand that holds least so far."""
    dealt: list[list[int]] = [[] for _ in range(hands)]
    held = [0] * hands
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        least = held.index(min(held))
        dealt[least].append(place)
        held[least] += lengths[place]
    return [sorted(hand) for hand in dealt]


def shared_out(model: "PreTrainedModel", device: torch.device) -> "PreTrainedModel":
    """The model itself, each process left with its share of every weight, on the device.

    Each layer is a group that is gathered as one; embedding, last norm and head are another, so that tied weights stay
    tied. Gradients are summed, not averaged: each process's loss is its part of the batch's.
    """
    mesh = init_device_mesh(device.type, (size(),))
    for part in (*blocks(model), model):
        sharded = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
    own: Any = model
    own.compute = MethodType(_compute, model)
    register_fsdp_forward_method(model, "compute")
    own._is_fsdp_managed_module = True  # transformers' generation then goes on until every process has its answers
    return model


def _compute(model: "PreTrainedModel", work: Callable[[], Found]) -> Found:
    return work()


def computed(model: "PreTrainedModel", work: Callable[[], Found]) -> Found:
    """What some work with the model's parts gives; weights that are shared out are gathered for it, layer by layer."""
    own: Any = model
    found: Found = own.compute(work) if isinstance(model, FSDPModule) else work()
    return found


def each_of(model: "PreTrainedModel") -> Each:
    """A `map` that shares its groups out over the processes; each of them has everything that was found, in order."""
    return map if size() == 1 else Spread(model)


class Spread:
    """Each process takes one group of every `size()`; where too few are left, some do the first again for nothing."""

    def __init__(self, model: "PreTrainedModel") -> None:
        """Work with this model."""
        self._model = model

    def __call__(self, work: Callable[[Group], Found], groups: Sequence[Group], /) -> Iterable[Found]:
        """What the work gives for each of the groups."""
        found: list[Found] = []
        padded = [*groups, *[groups[0]] * (-len(groups) % size())]
        for own in padded[rank() :: size()]:
            found += gathered(computed(self._model, partial(work, own)))
        return found[: len(groups)]


def gathered(own: Found) -> list[Found]:
    """What each process has, in their order, on all of them."""
    together: list[Found] = [own] * size()
    distributed.all_gather_object(together, own)
    return together


def summed(values: Tensor) -> Tensor:
    """The sum over the processes; alone, the values themselves."""
    if size() == 1:
        return values
    total = values.double()
    distributed.all_reduce(total)
    return total


def sum_gradients(model: nn.Module) -> None:
    """Sum each gradient over the processes, in place; those of weights that are shared out have been summed already."""
    if size() == 1:
        return
    for parameter in model.parameters():
        if parameter.grad is not None and not isinstance(parameter.grad, DTensor):
            distributed.all_reduce(parameter.grad)


def local(parameter: Tensor) -> Tensor:
    """What this process holds of a weight; the same memory."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def share(whole: Tensor, parameter: Tensor) -> Tensor:
    """The part of a whole tensor that belongs to what this process holds of a weight."""
    if not isinstance(parameter, DTensor):
        return whole
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None).to_local()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, gathered from all processes where it is shared out; they have to ask together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@contextmanager
def by_first(context: AbstractContextManager[Found]) -> Iterator[Found]:
    """Process 0 alone enters and leaves the context; all are given what it gave, and go on once it has left."""
    with ExitStack() as stack:
        yield from_first(stack.enter_context(context) if rank() == 0 else None)
    wait()


def from_first(own: Found | None) -> Found:
    """What process 0 has, on all of them."""
    given: list[Any] = [own]
    if size() > 1:
        distributed.broadcast_object_list(given)
    found: Found = given[0]
    return found


def wait() -> None:
    """Go on once all processes are here."""
    if size() > 1:
        distributed.barrier()
