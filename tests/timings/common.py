"""What the timings share: a target with random weights, the processor's clock, one table and one JSON file."""

import json
import os
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval import datasets
from eval.data import Dataset
from sweep.compose import SHIPPED, load
from sweep.config import Shape, SweepConfig
from sweep.unlearning.artifacts import Artifacts, plan
from sweep.unlearning.models import make_llama, make_tokenizer, texts
from sweep.unlearning.prepare import make_reference

TOFU = Path(__file__).resolve().parents[3] / "shared" / "tofu"
"""Where TOFU is looked for: beside the checkout."""
LLAMA = Shape(layers=6, hidden=256, intermediate=704, heads=4, vocabulary=10240)
"""7.4 M parameters, with a vocabulary of TOFU's own."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed: a configuration whose artifacts are made, and how long they took."""

    config: SweepConfig
    artifacts: Artifacts
    prepare_s: float


def parser(doc: str | None, name: str) -> ArgumentParser:
    """A command line that says where the JSON file goes."""
    found = ArgumentParser(description=(doc or "").partition("\n")[0])
    found.add_argument("--out", type=Path, default=Path(f"{name}.json"), help="the JSON file (%(default)s)")
    return found


def seconds(work: Callable[[], object]) -> float:
    """The processor's seconds that it takes, on which others on the machine have little influence."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


@contextmanager
def tofu_subject(folder: Path, words: Sequence[str]) -> Iterator[Subject]:
    """WTNPO + KL on forget01 with the Llama of 7.4 M parameters, whose tokenizer is trained on all rows of TOFU."""
    fixed = ["data=tofu-forget01", f"data.path={folder}", "data.max_retain=400"]
    everything = datasets.load(load(SHIPPED / "wtnpo.yaml", [*fixed, "data.max_retain=null"]).data)
    tokenizer = make_tokenizer(texts(everything), LLAMA.vocabulary)
    with subject(make_llama(LLAMA, tokenizer, seed=0), tokenizer, [*fixed, *words]) as found:
        yield found


@contextmanager
def subject(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, words: Sequence[str], rows: Dataset | None = None
) -> Iterator[Subject]:
    """Take the model, as it is, for the target of configs/wtnpo.yaml with `words`; all is made in a passing folder."""
    transformers.utils.logging.disable_progress_bar()
    layers = model.config.num_hidden_layers
    with TemporaryDirectory(prefix="timings-") as name:
        tuned = Path(name) / "model"
        model.save_pretrained(tuned)
        tokenizer.save_pretrained(tuned)
        own = [f"model.shape.layers={layers}", f"model.deepest={layers - 1}", f"target.path={tuned}", f"storage={name}"]
        config = load(SHIPPED / "wtnpo.yaml", [*own, *words])
        dataset = datasets.load(config.data) if rows is None else rows
        artifacts = plan(config, dataset)
        took = seconds(lambda: list(make_reference(config, dataset, artifacts)))
        yield Subject(config=config, artifacts=artifacts, prepare_s=took)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the table; numbers to four digits."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=None if os.isatty(1) else 160).print(table)


def write(out: Path, found: Mapping[str, Any]) -> None:
    """Write the JSON file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
