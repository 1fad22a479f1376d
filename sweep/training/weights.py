"""Reset a model to the target's weights, mix them with unlearned weights, copy weights, and write them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from sweep.training.distributed import full_tensor, local_shard, local_tensor, rank
from sweep.training.lora import merge_adapters
from sweep.training.precision import trainable_parameters


class TargetWeights:
    """The target's weights in their memory-mapped file, so that memory holds no second copy beside the model.

    If the model is sharded, each process reads, mixes and keeps its own shard.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file of a saved target."""
        self._file = safe_open(folder / "model.safetensors", framework="pt")

    @torch.no_grad()
    def reset(self, model: PreTrainedModel, seed: int = 0) -> None:
        """Copy the target's weights into the model, in place; they are the same for every trial's seed."""
        for name, parameter in model.named_parameters():
            local_tensor(parameter).copy_(local_shard(self._file.get_tensor(name), parameter))

    @torch.no_grad()
    def mix(self, model: PreTrainedModel, unlearned: Mapping[str, Tensor], m: float) -> None:
        """Set the model to (1 − m) · target + m · unlearned, computed in float32 from both and rounded once."""
        for name, parameter in trainable_parameters(model):
            own = local_tensor(parameter)
            start = local_shard(self._file.get_tensor(name), parameter).to(own.device, torch.float32)
            own.copy_(torch.lerp(start, unlearned[name].to(own.device, torch.float32), m))


def snapshot_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """Copy the part of the trained weights that this process holds to the CPU."""
    return {
        name: local_tensor(parameter.detach()).to("cpu", copy=True) for name, parameter in trainable_parameters(model)
    }


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model and tokenizer into a folder, all weights into one file; process 0 writes what all gather.

    The weights have the names and shapes that they have in the model, by which `TargetWeights` finds them, and not
    those that the family's checkpoints have (as a tensor for each expert); transformers reads both. Adapters are merged
    into them.
    """
    kept = model.state_dict().keys()  # with the buffers that are saved, and with tied weights under each name
    own = {name: buffer for name, buffer in model.named_buffers() if name in kept} | dict(model.named_parameters())
    weights = merge_adapters(model, {name: full_tensor(weight.detach()).cpu() for name, weight in own.items()})
    if rank() == 0:
        model.save_pretrained(folder, state_dict=weights, max_shard_size="1TB", save_original_format=False)
        tokenizer.save_pretrained(folder)
