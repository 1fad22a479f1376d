"""Implement `train.precision`: the type of the weights, that of the arithmetic, and an optimizer that fits them.

| precision | weights  | arithmetic | optimizer                           | bytes a parameter |
|-----------|----------|------------|-------------------------------------|-------------------|
| float32   | float32  | float32    | AdamW                               | 16                |
| master    | float32  | bfloat16   | AdamW                               | 16 to 18          |
| kahan     | bfloat16 | bfloat16   | AdamW, updates compensated (Kahan)  | 10                |

Losses and log-probabilities are float32 in each. Adapters (`train.lora`, `target.lora`) are float32 in each too, with
AdamW: 16 bytes for each of their few parameters; they compute as their layer does. The weights below them have no
gradient and no optimizer, so that float32 and master take 4 bytes for each of them (master more for what it casts), and
kahan takes 2.
"""

from collections.abc import Iterator
from types import MethodType

import optimi
import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from transformers import PreTrainedModel
from transformers.utils.import_utils import is_flash_attn_2_available

from eval.models.logits import body_of, head_of
from sweep.errors import ConfigError

WEIGHT_DTYPES = {"float32": torch.float32, "master": torch.float32, "kahan": torch.bfloat16}
"""Type of the weights, by precision."""
COMPUTE_DTYPES = {"float32": torch.float32, "master": torch.bfloat16, "kahan": torch.bfloat16}
"""Type in which layers and head compute, by precision."""


def check_attention(attention: str) -> None:
    """Reject flash attention on a worker that does not support it, before a model is loaded.

    Raises:
        ConfigError: the package or a GPU is missing.
    """
    if attention == "flash_attention_2" and not is_flash_attn_2_available():
        raise ConfigError(
            "train.attention = 'flash_attention_2' needs the package flash-attn and a GPU, and this worker lacks one"
            " of them: choose sdpa or eager."
        )


def apply_precision(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """Cast the weights of a model that is on its device, set the type of its arithmetic, and return the model."""
    return enable_autocast(cast_weights(model, precision), precision)


def cast_weights(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """Cast the model's weights in place to the type of the precision, and return the model."""
    for parameter in model.parameters():  # no buffers: the frequencies of rotary positions stay float32
        parameter.data = parameter.data.to(WEIGHT_DTYPES[precision])
    return model


def enable_autocast(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """Let layers and head of a model on its device compute in the precision's type, and return the model.

    Each gets a bound method, so that a copy of the head computes with its own weights. Cast weights are kept only for
    the backward pass.
    """
    if WEIGHT_DTYPES[precision] != COMPUTE_DTYPES[precision]:
        cast = torch.autocast(model.device.type, COMPUTE_DTYPES[precision], cache_enabled=False)
        for part in (body_of(model), head_of(model)):
            part.forward = MethodType(cast(type(part).forward), part)
    return model


def trainable_parameters(model: PreTrainedModel) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the model's parameters that are trained, by name: all of its weights, or its adapters' alone."""
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


def build_optimizer(model: PreTrainedModel, lr: float, weight_decay: float) -> Optimizer:
    """Build AdamW (β .9/.999, ε 1e-8), with Kahan summation for bfloat16 weights, which would round small updates away.

    The rounding error of an update is kept beside the weight and added to the next update. The moments are bfloat16
    too, but have no such compensation: after some 250 steps (a trial has fewer, a fine-tuning may have more) the second
    moment can rise but hardly fall, so that late steps tend to be too short.
    """
    parameters = [parameter for _, parameter in trainable_parameters(model)]
    if parameters[0].dtype == torch.bfloat16:
        compensated: Optimizer = optimi.AdamW(parameters, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
        return compensated
    return AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)
