"""What the search's evaluation of 400 + 400 rows costs beyond one forward over their real tokens: at most 20 %.

python tests/timings/evaluation.py

Both sides go through the same texts, exact and paraphrased questions, of forget and holdout authors: the evaluation as
a trial has it, and bare forwards (layers, and the head where an answer token is predicted) of the same batches, made
beforehand. They take turns on one thread; the processor's seconds are counted, so that others on the machine matter
little, and medians are compared. The model is the small one, beside which everything else shows most.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval import datasets, shipped_configs
from eval.cli import TextTemplate
from eval.models.forward import MAX_PASS_POSITIONS, hidden_states
from eval.models.logits import head_of
from eval.rows.encode import Batch, collate, group_by_length
from eval.rows.types import Dataset
from eval.suite import Probes, evaluate
from sweep.config.model_schema import Shape
from sweep.training.models import collect_known_texts, make_llama, make_tokenizer

BAR = 1.20
ROUNDS = 7
AUTHORS: dict[str, Any] = {
    "source": "authors",
    "seed": 0,
    "forget": 50,
    "retain": 1,
    "holdout": 50,
    "unseen": 0,
    "max_retain": None,
    "max_holdout": None,
}
"""50 authors of 8 rows: 400 forget and 400 holdout rows."""
OUT = Path("runs/timings/evaluation.json")


def rows() -> Dataset:
    """The rows that are asked."""
    config: Any = SimpleNamespace(**AUTHORS)
    return datasets.load(config)


def small(dataset: Dataset) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, TextTemplate]:
    """The small model, with random weights, and how a row is put to it."""
    block = shipped_configs.read_block("model", "tiny")
    shape = Shape(**block["shape"])
    tokenizer = make_tokenizer(collect_known_texts(dataset), shape.vocabulary)
    return make_llama(shape, tokenizer, seed=0), tokenizer, TextTemplate(**block["template"])


@torch.no_grad()
def bare(model: PreTrainedModel, batches: list[Batch]) -> None:
    """One forward of each batch."""
    for batch in batches:
        head_of(model)(hidden_states(model, batch)[batch.row, batch.position])


def seconds(work: Callable[[], object]) -> float:
    """The processor's seconds that it takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measure() -> dict[str, Any]:
    """The medians, their ratio, and how many of the positions are padding."""
    torch.set_num_threads(1)
    dataset = rows()
    model, tokenizer, wording = small(dataset)
    probes = Probes.from_dataset(dataset, tokenizer, wording)
    asked = [row for part in probes.parts.values() for row in part]
    groups = group_by_length([len(row.inputs) for row in asked], MAX_PASS_POSITIONS)
    batches = [collate([asked[i] for i in group], model.device) for group in groups]
    evaluate(model, probes)
    rounds = [(seconds(lambda: evaluate(model, probes)), seconds(lambda: bare(model, batches))) for _ in range(ROUNDS)]
    ours, theirs = (median(side) for side in zip(*rounds, strict=True))
    real, padded = sum(len(row.inputs) for row in asked), sum(batch.ids.numel() for batch in batches)
    return {
        "texts": len(asked),
        "tokens": real,
        "padded positions per token": padded / real,
        "evaluation s": ours,
        "bare forward s": theirs,
        "evaluation / bare forward": ours / theirs,
        "evaluation / forward without padding": ours / theirs * padded / real,
        "bar": BAR,
        "rounds": rounds,
    }


def main() -> None:
    """Measure, print the table, write the JSON file."""
    found = measure()
    table = Table("what", "value", title="evaluation of 400 + 400 rows, exact and paraphrased")
    for key, value in found.items():
        if key != "rounds":
            table.add_row(key, f"{value:.4g}")
    Console().print(table)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
