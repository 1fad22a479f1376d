"""Adapters (LoRA) over a model's frozen weights: `train.lora` and `target.lora`, with the layers of the library peft.

A layer's update is (alpha / r) · B A: with B = 0 the model is the target, to the bit, and with m · B it is the mix
θ(m). The model keeps its class, and its modules their names; each layer with an adapter holds its own as `base_layer`.
Models are saved with their adapters merged, and measured so too: in bfloat16, merging rounds.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from eval.models.forward import find_blocks
from sweep.config.model_schema import LoraConfig, is_target
from sweep.training.precision import COMPUTE_DTYPES, trainable_parameters

# peft is imported where adapters are made or read, so that nothing else waits for it.

ADAPTER = "default"
"""Name of a model's only adapter, as peft has it."""
SEED_OFFSET = 2**33
"""Offset from a trial's seed to the seed of its adapters."""


def find_linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the linear layers of the model's blocks, by their names in the model."""
    from transformers.pytorch_utils import Conv1D

    within = {id(module) for block in find_blocks(model) for module in block.modules()}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in within
    }


def add_adapters(model: PreTrainedModel, lora: LoraConfig, precision: str) -> None:
    """Freeze the weights of a model that is on its device, and give its linear layers adapters in float32, in place.

    They compute in the type of the layer; the weights of the adapters stay float32, as `reset_adapters` sets them.
    """
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    names = [name for name in find_linear_layers(model) if lora.targets is None or is_target(name, lora.targets)]
    wanted = PeftConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=names)  # type: ignore[arg-type]
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False")  # peft then corrects it
        inject_adapter_in_model(wanted, model)
    for layer in list_adapters(model).values():
        for part in (layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]):
            part.weight = nn.Parameter(torch.zeros(part.weight.shape, device=model.device))
        layer.cast_input_dtype_enabled = False  # else peft computes, and keeps, each input in float32 too
        if (dtype := COMPUTE_DTYPES[precision]) != torch.float32:
            cast = torch.autocast(model.device.type, dtype, cache_enabled=False)
            layer.forward = MethodType(cast(type(layer).forward), layer)


def list_adapters(model: PreTrainedModel) -> dict[str, Any]:
    """Return peft's layers, each with an adapter, by their names in the model; none where it has no adapters."""
    if not hasattr(model, "peft_config"):
        return {}
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


@torch.no_grad()
def reset_adapters(model: PreTrainedModel, seed: int) -> None:
    """Make new adapters in place: A drawn from the seed, as peft draws it, and B = 0."""
    generator = torch.Generator().manual_seed(seed + SEED_OFFSET)
    for layer in list_adapters(model).values():
        a, b = (part[ADAPTER].weight for part in (layer.lora_A, layer.lora_B))
        a.copy_(nn.init.kaiming_uniform_(torch.empty(a.shape), a=math.sqrt(5), generator=generator))
        b.zero_()


class AdapterWeights:
    """The way back to the target where adapters are trained: the target's own weights stay in the model."""

    @torch.no_grad()
    def reset(self, model: PreTrainedModel, seed: int = 0) -> None:
        """Give the model new adapters, with which it is the target."""
        reset_adapters(model, seed)

    @torch.no_grad()
    def mix(self, model: PreTrainedModel, unlearned: Mapping[str, Tensor], m: float) -> None:
        """Set the model to (1 − m) · target + m · unlearned, which is m · B in each adapter."""
        for name, parameter in trainable_parameters(model):
            parameter.copy_(unlearned[name] * (m if ".lora_B." in name else 1.0))


@torch.no_grad()
def merge_adapters(model: PreTrainedModel, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's weights, which are on the CPU, without adapters: each update added in float32, rounded once."""
    merged = {name.replace(".base_layer.", "."): own for name, own in weights.items() if ".lora_" not in name}
    for name, layer in list_adapters(model).items():
        merged[f"{name}.weight"] = _merge_weight(layer).cpu()
    return merged


def _merge_weight(layer: Any) -> Tensor:
    own: Tensor = layer.get_base_layer().weight
    with torch.autocast(own.device.type, enabled=False):
        update: Tensor = layer.get_delta_weight(ADAPTER)
    return (own.float() + update).to(own.dtype)


@contextmanager
def compute_merged(model: PreTrainedModel) -> Iterator[None]:
    """Let the model compute without gradient as it does once it is saved, to the bit, for the time of the context.

    Each layer makes its merged weight when it is called, which takes less than the layer itself, and drops it again.
    """
    layers = [*list_adapters(model).values()]
    trained = [layer.forward for layer in layers]
    for layer in layers:
        layer.forward = MethodType(_forward_merged, layer)
    try:
        yield
    finally:
        for layer, forward in zip(layers, trained, strict=True):
            layer.forward = forward


def _forward_merged(layer: Any, states: Tensor) -> Tensor:
    found: Tensor = functional_call(layer.get_base_layer(), {"weight": _merge_weight(layer)}, (states,))
    return found


def save_adapter(model: PreTrainedModel, base: str, folder: Path) -> None:
    """Write the model's adapter alone into a folder, as peft does; it names the model `base`, a folder or hub id."""
    from peft import get_peft_model_state_dict

    found: Any = model.peft_config
    config = found[ADAPTER]
    config.base_model_name_or_path, config.task_type = base, "CAUSAL_LM"
    weights = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    named = {f"base_model.model.{name}": weight.cpu().contiguous() for name, weight in weights.items()}
    save_file(named, folder / "adapter_model.safetensors")
