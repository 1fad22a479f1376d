"""The parts of a model: its body, and the way from final hidden states to logits (head, scale, cap) as its own."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel  # takes seconds to import


FACTOR_KEYS = ("logit_scale", "lm_head_multiplier", "output_multiplier")
"""Keys of a configuration by which logits are multiplied (Cohere, Falcon-H1)."""
DIVISOR_KEYS = ("logits_scaling", "logits_mup_width_multiplier")
"""Keys by which they are divided (Granite, MiniCPM)."""
CAP_KEYS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Keys of the value c beyond which no logit z goes: c · tanh(z / c) takes its place (Gemma)."""
MULTIPLIED_BY_DIVISOR = frozenset({"hyperclovax"})
"""Types of models that multiply by a key of `DIVISOR_KEYS`."""


class OutputLayer(nn.Module):
    """A head with what its model does to the logits: [N, d] to [N, V], float32.

    Attributes:
        head: the model's head, with its bias.
        factor: what logits are multiplied by.
        divisor: what they are divided by.
        cap: c of c · tanh(z / c); None: not capped.
    """

    def __init__(self, head: nn.Module, config: "PreTrainedConfig") -> None:
        """Read scale and cap from the model's configuration."""
        super().__init__()
        self.head = head
        self.factor, self.divisor = _read_number(config, FACTOR_KEYS), _read_number(config, DIVISOR_KEYS)
        self.cap = _read_number(config, CAP_KEYS)
        if config.model_type in MULTIPLIED_BY_DIVISOR:
            self.factor, self.divisor = self.divisor, None

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the logits [N, V], in float32 or the states' float64, of final hidden states [N, d]."""
        logits: Tensor = to_float32(self.head(hidden))
        if self.factor is not None:
            logits = logits * self.factor
        if self.divisor is not None:
            logits = logits / self.divisor
        return logits if self.cap is None else (logits / self.cap).tanh() * self.cap


def _read_number(config: "PreTrainedConfig", keys: tuple[str, ...]) -> float | None:
    """Return the value of the first key that the configuration has as a number; None without one."""
    values = (getattr(config, key, None) for key in keys)
    numbers = (value for value in values if isinstance(value, int | float) and not isinstance(value, bool))
    return next(map(float, numbers), None)


def to_float32(values: Tensor) -> Tensor:
    """Return the values in float32, or in float64 if that is their type."""
    return values if values.dtype == torch.float64 else values.float()


def body_of(model: "PreTrainedModel") -> nn.Module:
    """Return the model without its head, from tokens to final hidden states."""
    # Llama 4's text model names its body as the image-text model does, by which it would be its own body.
    return model.get_submodule("model") if model.base_model is model else model.base_model


def head_of(model: "PreTrainedModel") -> nn.Module:
    """Return the head alone, a layer from hidden states to unscaled logits, with its bias."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module)
    return head


def output_layer(model: "PreTrainedModel") -> OutputLayer:
    """Return the model's head with its scale and cap; it shares the head's weights."""
    return OutputLayer(head_of(model), model.config)
