"""The blocks `model`, `target` and `retain_model` of a sweep's configuration."""

from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat, model_validator

from eval.options import Count, Fraction, Frozen, SmallCount
from sweep.config.template import RowTemplate, Template


class Shape(Frozen):
    """Sizes of a Llama built from scratch, with a tokenizer trained on the rows."""

    layers: Annotated[int, Field(gt=0, le=64)]
    """Number of transformer layers."""
    hidden: Count
    """Size of the hidden states, a multiple of 2 · heads."""
    intermediate: Count
    """Size of the feed-forward layers."""
    heads: SmallCount
    """Number of attention heads."""
    vocabulary: Count
    """Number of tokens, which the tokenizer is trained to have."""

    @model_validator(mode="after")
    def _check_hidden_size(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"must have a hidden size ({self.hidden}) that is a multiple of 2 × heads ({self.heads})")
        return self


class Architecture(Frozen):
    """Values of a model's config.json that tell its size, as transformers names them; `layers` is in the model."""

    model_type: str
    """Family of the model in transformers, such as llama."""
    vocab_size: Count
    """Number of tokens."""
    hidden_size: Count
    """Size of the hidden states."""
    intermediate_size: Count
    """Size of the feed-forward layers."""
    num_attention_heads: SmallCount
    """Number of attention heads."""
    num_key_value_heads: SmallCount
    """Number of heads that keys and values have, which several attention heads may share."""
    tie_word_embeddings: bool
    """True if the output layer has the weights of the input embeddings."""


class ModelConfig(Frozen):
    """The base model of the sweep."""

    name: str
    """Name of the model in tables and in MLflow: that of its file in configs/model."""
    path: str | None
    """Folder or hub id of the base model; null builds one from `shape`."""
    revision: str | None
    """Hub revision (a commit); null uses the newest when the sweep begins."""
    shape: Shape | None
    """Sizes of a model that is built from scratch where `path` is null."""
    architecture: Architecture | None = Field(default=None, exclude=True)
    """The size of the model at `path`, for --dry-run where the hub cannot be reached; not stored."""
    layers: SmallCount
    """Number of transformer layers; null in a file reads it from the configuration of `path`."""
    deepest: SmallCount
    """The deepest layer that RMU may read, `layers` − 1; null in a file stands for it."""
    template: RowTemplate | None
    """The text of a row, or the name of a shipped model whose text it is; null renders the tokenizer's chat template,
    and is `Question: {question}\\nAnswer: {answer}` where it has none."""

    @property
    def row_template(self) -> Template:
        """The text of a row, which a plan has."""
        assert isinstance(self.template, Template), "the plan has rendered the chat template"
        return self.template

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if self.path is None and (self.shape is None or self.shape.layers != self.layers):
            raise ValueError("must have a path, or a shape with as many layers as `layers` says")
        if self.deepest != self.layers - 1:
            raise ValueError(f"must have deepest ({self.deepest}) one below layers ({self.layers})")
        return self


class LoraConfig(Frozen):
    """Adapters (LoRA) that are trained in place of a model's weights, in float32, without dropout."""

    @model_validator(mode="before")
    @classmethod
    def _fill_alpha(cls, block: Any) -> Any:
        if isinstance(block, dict) and block.get("alpha") is None and isinstance(block.get("rank"), int):
            return block | {"alpha": 2.0 * block["rank"]}
        return block

    rank: Annotated[int, Field(gt=0, le=10_000)]
    """r: a layer's update is the product of two matrices, B [out, r] and A [r, in]."""
    alpha: PositiveFloat
    """The update counts alpha / r times (null: twice)."""
    targets: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] | None = None
    """Names of the layers with an adapter, such as q_proj (null: all linear layers of the model's blocks)."""


def is_target(layer: str, targets: tuple[str, ...]) -> bool:
    """Return True if one of `targets` is the layer's name in the model, or the end of it."""
    return any(f".{layer}".endswith(f".{target}") for target in targets)


LORA: Any = Field(default=None, exclude_if=lambda block: block is None)
"""Field of a block that trains adapters or, by null, the model's own weights; a stored null has no key."""


class TargetConfig(Frozen):
    """Fine-tuning of the target on forget, retain and holdout rows."""

    path: str | None
    """Folder or hub id of an already fine-tuned model; null fine-tunes `model`."""
    revision: str | None
    """Hub revision of `path`; null uses the newest when the sweep begins."""
    epochs: Count
    """Epochs over forget, retain and holdout rows, at most."""
    lr: PositiveFloat
    """Highest learning rate of AdamW (not given: the model's; for adapters ten times it, up to 5e-4)."""
    batch: Count
    """Rows of an optimizer step."""
    lora: LoraConfig | None = LORA
    """Fine-tune by adapters, which are merged into the weights in the end, for a small card (null: all weights)."""
    weight_decay: float = Field(ge=0)
    """Weight decay of AdamW."""
    until: Fraction | None = None
    """ES that ends the fine-tuning, after the first epoch in which forget and holdout rows have it (null: `epochs`)."""
    min_es: float = Field(default=0.1, ge=0, le=1)
    """ES on forget and on holdout rows below which the target is refused: it does not know them (0: never)."""


class RetainModelConfig(Frozen):
    """The retain model, which forget quality and privleak compare with; it is used only where they are measured."""

    path: str | None
    """Folder or hub id of a model fine-tuned on retain and holdout rows alone; null fine-tunes `model`."""
    revision: str | None
    """Hub revision of `path`; null uses the newest when the sweep begins."""
