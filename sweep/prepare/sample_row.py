"""Show one row as the model reads it, for --dry-run: its prompt, and what it is to answer."""

from eval.rows.encode import encode
from eval.rows.types import Dataset
from sweep.config.schema import SweepConfig
from sweep.prepare.cost import load_model_info

MAX_SHOWN_CHARS = 60
"""Maximum number of characters of a text; those in the middle of a longer one are left out."""


def format_sample_row(config: SweepConfig, dataset: Dataset) -> str:
    """Format the first forget row in one line: its prompt and its labels as text, and how many tokens each has."""
    tokenizer = load_model_info(config.model, config.target, dataset, config.train.attention).tokenizer
    first = dataset.forget[0]
    row = encode(tokenizer, config.model.row_template, first.question, first.answer)
    prompt, labels = (str(tokenizer.decode(list(ids))) for ids in (row.ids[: row.start], row.labels))
    return f"{_shorten(prompt)} -> {_shorten(labels)} ({row.start} and {len(row.labels)} tokens)"


def _shorten(text: str) -> str:
    """Return a text in quotes, without its middle where it is long."""
    half = MAX_SHOWN_CHARS // 2
    return repr(text if len(text) <= MAX_SHOWN_CHARS else f"{text[:half]}…{text[-half:]}")
