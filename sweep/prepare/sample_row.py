"""Show one row as tokens, for --dry-run: what the model reads, and what it is to answer."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerFast

from eval.rows.encode import encode
from eval.rows.types import Dataset
from sweep.config.schema import SweepConfig
from sweep.prepare.cost import load_model_info

MAX_SHOWN_TOKENS = 40
"""Maximum number of tokens of a line; those in the middle of a longer one are left out."""


def format_sample_row(config: SweepConfig, dataset: Dataset) -> str:
    """Format the first forget row in two lines: the tokens of its prompt, and those of its answer, the labels."""
    tokenizer = load_model_info(config.model, config.target, dataset, config.train.attention).tokenizer
    first = dataset.forget[0]
    row = encode(tokenizer, config.model.row_template, first.question, first.answer)
    return (
        f"a row's prompt, {row.start} tokens: {_format_tokens(tokenizer, row.ids[: row.start])}\n"
        f"and its labels, {len(row.labels)} tokens: {_format_tokens(tokenizer, row.labels)}"
    )


def _format_tokens(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """Format tokens as texts in quotes, the first and the last of them."""
    shown = [repr(tokenizer.decode([token])) for token in ids]
    if len(shown) > MAX_SHOWN_TOKENS:
        shown = [*shown[: MAX_SHOWN_TOKENS // 2], "…", *shown[-MAX_SHOWN_TOKENS // 2 :]]
    return " ".join(shown)
