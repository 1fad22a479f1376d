"""Trials on several processes: divide the rows, sum losses and gradients, shard and gather weights.

With one process, results are bit-identical to a run without this module. Several processes take the same steps on the
same batches. `train.parallel` selects whether each holds the whole model (`ddp`) or a shard of every weight, gradient
and optimizer state (`fsdp`: PyTorch's FSDP2, which gathers a layer while it is computed). All processes run the same
code in the same order; any value that decides the control flow is summed or gathered first.
"""

import os
import time
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

from eval.models.forward import MapFn, find_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedModel  # takes seconds to import


LOOPBACK_ADDRESS = "127.0.0.1"
PEER_TIMEOUT = timedelta(hours=24)
"""Time that a process waits for the others: process 0 may wait for another sweep that makes the same artifact."""

Found = TypeVar("Found")
Group = TypeVar("Group")


def world_size() -> int:
    """Return the number of processes of the trial."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return this process's rank, from 0; process 0 writes and reports."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def host_rendezvous() -> TCPStore:
    """Open the store at which the processes of a node find one another; process 0 holds it, at a free port."""
    return TCPStore(LOOPBACK_ADDRESS, 0, is_master=True, wait_for_workers=False, timeout=PEER_TIMEOUT)


def join_process_group(port: int, rank: int, size: int) -> None:
    """Join the process group through the store at the port; with GPUs, use the one whose index is the rank."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}  # for accelerate
    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    store = TCPStore(LOOPBACK_ADDRESS, port, is_master=False, timeout=PEER_TIMEOUT)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PEER_TIMEOUT)


def balance_by_length(lengths: Sequence[int], n_ranks: int) -> list[list[int]]:
    """Assign the indices of `lengths` to ranks: the longest first, each to the rank with the smallest sum so far."""
    dealt: list[list[int]] = [[] for _ in range(n_ranks)]
    held = [0] * n_ranks
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        least = held.index(min(held))
        dealt[least].append(place)
        held[least] += lengths[place]
    return [sorted(hand) for hand in dealt]


def shard_model(model: "PreTrainedModel", device: torch.device) -> "PreTrainedModel":
    """Shard the model on the device, in place, so that each process keeps its shard of every weight; return the model.

    Each layer is gathered as one group; embedding, last norm and head are another, so that tied weights stay tied.
    Gradients are summed, not averaged: each process's loss is its part of the batch's loss.
    """
    mesh = init_device_mesh(device.type, (world_size(),))
    for part in (*find_blocks(model), model):
        sharded = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
    own: Any = model
    own.compute = MethodType(_call_work, model)
    register_fsdp_forward_method(model, "compute")
    own._is_fsdp_managed_module = True  # transformers then generates until every process has its answers
    return model


def _call_work(model: "PreTrainedModel", work: Callable[[], Found]) -> Found:
    return work()


def run_with_weights(model: "PreTrainedModel", work: Callable[[], Found]) -> Found:
    """Call `work`, which uses parts of the model, and return its result; shards are gathered for it, layer by layer."""
    own: Any = model
    found: Found = own.compute(work) if isinstance(model, FSDPModule) else work()
    return found


def distributed_map(model: "PreTrainedModel") -> MapFn:
    """Return a `map` that divides its groups among the processes; every process gets all results, in order.

    Each process takes one group at a time; spare processes repeat the first group unused.
    """

    def map_groups(work: Callable[[Group], Found], groups: Sequence[Group], /) -> Iterable[Found]:
        found: list[Found] = []
        padded = [*groups, *[groups[0]] * (-len(groups) % world_size())]
        for own in padded[rank() :: world_size()]:
            found += gather_objects(run_with_weights(model, partial(work, own)))
        return found[: len(groups)]

    return map if world_size() == 1 else map_groups


def gather_objects(own: Found) -> list[Found]:
    """Return the objects of all processes, ordered by rank, on every process."""
    together: list[Found] = [own] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(together, own)
    return together


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum the values over the processes, in float64; a single process gets its own values back."""
    if world_size() == 1:
        return values
    total = values.double()
    distributed.all_reduce(total)
    return total


def sum_gradients(model: nn.Module) -> None:
    """Sum each gradient over the processes, in place; gradients of sharded weights have been summed already."""
    if world_size() == 1:
        return
    for parameter in model.parameters():
        if parameter.grad is not None and not isinstance(parameter.grad, DTensor):
            distributed.all_reduce(parameter.grad)


def local_tensor(parameter: Tensor) -> Tensor:
    """Return the part of a weight that this process holds; it shares the weight's memory."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def local_shard(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Return the part of a full tensor that matches the part of a weight that this process holds."""
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None).to_local()


def wrap_shard(own: Tensor, parameter: Tensor) -> Tensor:
    """Return this process's part of a tensor as a sharded one, if the weight to which it belongs is sharded."""
    if not isinstance(parameter, DTensor):
        return own
    mesh, placements = parameter.device_mesh, parameter.placements
    return DTensor.from_local(own, mesh, placements, shape=parameter.shape, stride=parameter.stride())


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor, gathered from all processes if it is sharded; all of them have to call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@contextmanager
def on_rank_zero(context: AbstractContextManager[Found]) -> Iterator[Found]:
    """Enter and leave the context on process 0 alone; all processes get its value, and go on once it has left."""
    with ExitStack() as stack:
        yield broadcast_object(stack.enter_context(context) if rank() == 0 else None)
    wait_for_ranks()


def broadcast_object(own: Found | None) -> Found:
    """Return process 0's object on all processes."""
    given: list[Any] = [own]
    if world_size() > 1:
        distributed.broadcast_object_list(given)
    found: Found = given[0]
    return found


def shared_clock() -> float:
    """Return process 0's monotonic clock in seconds on every process, so that all decide alike what is due."""
    return broadcast_object(time.monotonic())


def wait_for_ranks() -> None:
    """Wait until all processes have come to this point."""
    if world_size() > 1:
        distributed.barrier()
