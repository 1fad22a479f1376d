"""`train.precision`: what weights are held in, what is computed in, and the optimizer that loses no small update.

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

from eval.models.forward import head_of
from sweep.errors import ConfigError

STORED = {"float32": torch.float32, "master": torch.float32, "kahan": torch.bfloat16}
"""What the weights are held in."""
COMPUTED = {"float32": torch.float32, "master": torch.bfloat16, "kahan": torch.bfloat16}
"""What layers and head compute in."""


def check_attention(attention: str) -> None:
    """Refuse flash attention on a worker that cannot have it, before a model is loaded.

    Raises:
        ConfigError: the package or a GPU is missing.
    """
    if attention == "flash_attention_2" and not is_flash_attn_2_available():
        raise ConfigError(
            "train.attention = 'flash_attention_2' needs the package flash-attn and a GPU, and this worker lacks one"
            " of them: choose sdpa or eager."
        )


def ready(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """The model itself, its weights held and its layers and head computing as the precision says; on its device."""
    return computing(held(model, precision), precision)


def held(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """The model itself, its weights held as the precision says."""
    for parameter in model.parameters():  # and no buffer: the frequencies of rotary positions stay in float32
        parameter.data = parameter.data.to(STORED[precision])
    return model


def computing(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """The model itself, its layers and head computing as the precision says; it is on its device already."""
    if STORED[precision] != COMPUTED[precision]:
        _autocast(model, COMPUTED[precision])
    return model


def _autocast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Have the layers and the head compute in a lower precision than their weights'.

    A bound method, so that a copy of the head computes with its own weights. Nothing is kept of a cast weight but for
    the backward pass.
    """
    cast = torch.autocast(model.device.type, dtype, cache_enabled=False)
    for part in (model.base_model, head_of(model)):
        part.forward = MethodType(cast(type(part).forward), part)


def adamw(model: PreTrainedModel, lr: float, weight_decay: float) -> Optimizer:
    """AdamW (β .9/.999, ε 1e-8); over bfloat16 weights, which are too coarse for a small update, with Kahan summation.

    What rounding takes from an update is kept beside the weight and added to the next one. The moments are bfloat16
    too, and no such sum is kept of them: after some 250 steps (a trial has fewer, a fine-tuning may have more) the
    second can rise but hardly fall, so that late steps are rather too short.
    """
    if model.dtype == torch.bfloat16:
        compensated: Optimizer = optimi.AdamW(
            model.parameters(), lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay
        )
        return compensated
    return AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
