"""Which families of causal language models a sweep can have: all that transformers knows, each as a tiny random model.

PYTHONPATH=tests python tests/timings/model_families.py [FAMILY ...] [--out model_families.json]

Each is saved, loaded, trained by an objective of each kind of `needs`, mixed, and saved again; every number is compared
with transformers' own. A family that this script cannot make small is told apart from one that a sweep cannot have.
"""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import parser, show, write
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from support.families import check_family, make_model

MAX_PARAMETERS = 5e6
"""Parameters of a model that was not made small."""
MAX_REASON_CHARS = 110
"""Maximum length of a reason in the table."""
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "decoder_ffn_dim"), 32),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"), 64),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "v_head_dim", "qk_head_dim"), 8),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim"), 4),
    "vocab_size": 300,
    "num_key_value_heads": 1,
    "num_experts_per_tok": 2,
    "head_dim": 8,
}
SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"mamba_n_heads": 4, "mamba_d_head": 8},
    "granitemoehybrid": {"mamba_n_heads": 4, "mamba_d_head": 8},
    "mamba2": {"num_heads": 4, "head_dim": 8, "n_groups": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "zaya": {"num_experts_per_tok": 1},
    "olmo_hybrid": {"layer_types": ["linear_attention", "full_attention"]},
}
"""What a family needs besides."""


def make_config(family: str) -> PreTrainedConfig:
    """Return the family's configuration with small sizes in place of its own."""
    whole = CONFIG_MAPPING[family]()
    own = whole.get_text_config(decoder=True)
    known = own.to_dict().keys() | own.attribute_map.keys()
    sizes = {key: value for key, value in SIZES.items() if key in known}
    if "qk_rope_head_dim" in known:
        sizes |= {"head_dim": 4, "num_key_value_heads": 2}
    elif getattr(own, "num_key_value_heads", None) == getattr(own, "num_attention_heads", None):
        sizes |= {key: 2 for key in ("num_key_value_heads",) if key in sizes}
    if isinstance(kinds := own.to_dict().get("layer_types"), list):
        sizes["layer_types"] = kinds[:2]
    config: PreTrainedConfig = type(own)(**sizes | SPECIAL.get(family, {}))
    return config


def try_family(family: str) -> str:
    """Return `works`, or what a sweep or this script cannot do."""
    try:
        config = make_config(family)
        with torch.device("meta"):
            size = AutoModelForCausalLM.from_config(config, dtype=torch.float32).num_parameters()
        if size > MAX_PARAMETERS:
            return f"not made small here: {size:.2g} parameters"
        model = make_model(config)
        model(input_ids=torch.arange(1, 9)[None], use_cache=False)
    except Exception as error:
        return f"not made small here: {shorten(error)}"
    try:
        with TemporaryDirectory(prefix="timings-") as folder:
            check_family(model, Path(folder))
    except Exception as error:
        return f"cannot: {shorten(error)}"
    return "works"


def shorten(error: Exception) -> str:
    """Return type and beginning of an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON_CHARS]


def main() -> int:
    """Walk the families, print the table, write the JSON file."""
    words = parser(__doc__, "model_families")
    words.add_argument("families", nargs="*", help="types of models (all)")
    options = words.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    found = {}
    for family in options.families or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        found[family] = try_family(family)
        print(family, found[family], flush=True)
    works = sum(told == "works" for told in found.values())
    show(f"{works} of {len(found)} families work", ("family", "result"), [*found.items()])
    write(options.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
