"""Implement `train.precision`: the type of the weights, that of the arithmetic, and an optimizer that fits them.

| precision | weights  | arithmetic | optimizer                           | bytes a parameter |
|-----------|----------|------------|-------------------------------------|-------------------|
| float32   | float32  | float32    | AdamW                               | 16                |
| master    | float32  | bfloat16   | AdamW                               | 16 to 18          |
| kahan     | bfloat16 | bfloat16   | AdamW, updates compensated (Kahan)  | 10                |

Losses and log-probabilities are float32 in each.
"""

from types import MethodType

import optimi
import torch
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


def build_optimizer(model: PreTrainedModel, lr: float, weight_decay: float) -> Optimizer:
    """Build AdamW (β .9/.999, ε 1e-8), with Kahan summation for bfloat16 weights, which would round small updates away.

    The rounding error of an update is kept beside the weight and added to the next update. The moments are bfloat16
    too, but have no such compensation: after some 250 steps (a trial has fewer, a fine-tuning may have more) the second
    moment can rise but hardly fall, so that late steps tend to be too short.
    """
    if model.dtype == torch.bfloat16:
        compensated: Optimizer = optimi.AdamW(
            model.parameters(), lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay
        )
        return compensated
    return AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
