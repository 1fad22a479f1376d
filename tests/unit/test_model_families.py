"""Models of many families: tensors that a file has under other names, capped and scaled logits, experts, tied heads."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, Gemma3Config, Gemma3ForConditionalGeneration

from eval.models.checkpoint import load_model
from support.families import check_family, make_model

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
WIDE = {"intermediate_size": 32, "num_key_value_heads": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "mixtral": WIDE | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen3": WIDE | {"head_dim": 8},
    "gemma2": WIDE | {"head_dim": 8, "final_logit_softcapping": 5.0},
    "phi3": WIDE,
    "olmo2": WIDE,
    "gpt2": {},
    "gpt_neox": {"intermediate_size": 32},
    "falcon": {"new_decoder_architecture": False, "multi_query": True},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 8},
    "granite": WIDE | {"logits_scaling": 3.0},
    "cohere": WIDE | {"logit_scale": 0.25},
}
"""Types of models with what is special: experts that are many tensors in a file, a cap, a fused projection, heads."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sweep_can_have_any_family(family: str, tmp_path: Path) -> None:
    """Every number is that of the model's own logits; reset and mix are right; what is saved loads again."""
    check_family(make_model(CONFIG_MAPPING[family](**SIZES | FAMILIES[family])), tmp_path)


def test_the_text_part_of_an_image_text_model_is_used(tmp_path: Path) -> None:
    """Gemma 3 as it ships: the language model in it gives the same logits, and is itself a family as above."""
    torch.manual_seed(0)
    text = SIZES | WIDE | {"head_dim": 8}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Gemma3Config(text_config=text, vision_config=vision | {"image_size": 28, "patch_size": 14})
    whole = Gemma3ForConditionalGeneration(config)
    whole.eval()
    whole.save_pretrained(tmp_path / "whole")
    model = load_model(tmp_path / "whole")
    ids = torch.arange(1, 9)[None]
    assert torch.equal(model(input_ids=ids).logits, whole(input_ids=ids).logits)
    assert sum(weight.numel() for weight in model.parameters()) < sum(weight.numel() for weight in whole.parameters())
    check_family(model, tmp_path)
