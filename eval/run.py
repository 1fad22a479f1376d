"""Measure any checkpoint with the full suite; no sweep is needed.

python -m eval.run CHECKPOINT --data tofu-forget05 --template llama-2-7b --out scores.json
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from eval import cli
from eval.cli import TextTemplate, UsageError
from eval.definitions import PAPER, SUITE
from eval.models import hub, packaged
from eval.progress import tell_progress
from eval.rows.types import DataError, Dataset, choose_evenly

if TYPE_CHECKING:
    from rich.table import Table
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from eval.suite import RetainValues


# Slow imports stand in the functions that use them, so that --help and errors answer at once.

FORMAT_VERSION = 1
"""Version of the JSON file; raise it when a reader of the old format would misread the new."""


@dataclass(frozen=True, kw_only=True)
class EvalRequest:
    """Rows, template and options for every checkpoint that is measured."""

    dataset: Dataset
    template: TextTemplate
    has_paper_ps: bool
    """True to measure the paper's PS too."""
    dtype: str
    """Type of the weights."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        typed = cli.parse_arguments(argv)
        cli.check_output_file(typed.out)
        for checkpoint in filter(None, (typed.checkpoint, typed.reference, typed.retain_model)):
            cli.check_checkpoint(checkpoint)
        template, whole = cli.choose_template(typed), cli.load_dataset(typed)
        task = EvalRequest(
            template=template, dataset=choose_rows(whole, typed.rows), has_paper_ps=typed.ps, dtype=typed.dtype
        )
        scores = measure_checkpoints(typed, task, whole)
    except (UsageError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_scores(scores)
    if typed.out is not None:
        write_json(typed.out, scores)
    return 0


def choose_rows(whole: Dataset, count: int | None) -> Dataset:
    """Choose as many evenly spaced rows of each measured part; all of a part that has no more, of all for None."""
    if count is None:
        return whole
    parts = {part: rows for part, rows in vars(whole).items() if part != "retain" and len(rows) > count}
    chosen = {part: tuple(rows[i] for i in choose_evenly(len(rows), count)) for part, rows in parts.items()}
    return replace(whole, **chosen)


def measure_checkpoints(typed: Namespace, task: EvalRequest, whole: Dataset) -> dict[str, Any]:
    """Measure the checkpoint, and the reference if one is named; return the content of the JSON file."""
    from eval.provenance import find_revision, list_versions

    retain = None if typed.retain_model is None else _measure_retain_model(typed.retain_model, task)
    scores: dict[str, Any] = {
        "format": FORMAT_VERSION,
        **identify_checkpoint(typed.checkpoint),
        **_measure_one(typed.checkpoint, task, retain),
    }
    if typed.reference is not None:
        scores["reference"] = identify_checkpoint(typed.reference) | _measure_one(typed.reference, task, retain)
    if typed.retain_model is not None:
        scores["retain_model"] = identify_checkpoint(typed.retain_model)
    definitions, limits = SUITE | (PAPER if task.has_paper_ps else {}), list_limits(task, whole)
    return scores | {
        "definitions": {key: "; ".join([text, *limits]) for key, text in definitions.items()},
        "template": asdict(task.template),
        "dtype": task.dtype,
        "limits": limits,
        "data": describe_rows(typed, task.dataset),
        "versions": list_versions(),
        "git": find_revision(),
    }


def list_limits(task: EvalRequest, whole: Dataset) -> list[str]:
    """List what makes a number another one than that of all rows and exact weights; it belongs to its definition."""
    counts = {part: (len(getattr(task.dataset, part)), len(rows)) for part, rows in vars(whole).items()}
    said = [f"{few} of {n} {part.replace('_', ' ')} rows" for part, (few, n) in counts.items() if few < n]
    limits = [f"on {', '.join(said)}, evenly chosen (--rows)"] if said else []
    return limits if task.dtype == cli.DTYPES[0] else [*limits, f"weights in {task.dtype} (--dtype)"]


def identify_checkpoint(checkpoint: str) -> dict[str, str]:
    """Return the checkpoint as typed, its commit if it is on the hub, and which weights a package has."""
    found = {"checkpoint": checkpoint, "revision": find_commit(checkpoint)}
    found["weights"] = packaged.describe_weights(checkpoint)
    return {key: value for key, value in found.items() if value is not None}


@cache
def find_commit(checkpoint: str) -> str | None:
    """Return the commit on the hub, the same for the whole command, or the digest in a package; None for a folder."""
    if Path(checkpoint).is_dir():
        return None
    if packaged.is_packaged(checkpoint):
        return packaged.digest_package(checkpoint)
    try:
        return hub.resolve_commit(checkpoint, "model")
    except hub.HubUnreachableError as error:
        stand_in = packaged.find_stand_in(checkpoint)
        other = (
            "" if stand_in is None else f", or {stand_in.path}, whose weights are quantised ({stand_in.install_hint})"
        )
        raise UsageError(f"{error}: give a folder{other}") from error


def describe_rows(typed: Namespace, dataset: Dataset) -> dict[str, Any]:
    """Describe the rows: name, split, digest, and the number of rows by part."""
    counts = {part: len(rows) for part, rows in vars(dataset).items()}
    split = {"split": typed.split} if typed.split else {}
    return {"name": typed.data or typed.checkpoint, **split, "digest": dataset.digest, "rows": counts}


def _measure_one(checkpoint: str, task: EvalRequest, retain: "RetainValues | None") -> dict[str, Any]:
    """Measure one checkpoint; its model is freed afterwards."""
    from eval import suite
    from eval.metrics.paper_extraction_strength import paper_ps

    model, tokenizer = load_checkpoint(checkpoint, task)
    sides = {"forget/paper_ps": task.dataset.forget, "retain/paper_ps": task.dataset.holdout}
    with tell_progress(checkpoint) as each:
        report = asdict(suite.evaluate_full(model, tokenizer, task.template, task.dataset, retain=retain, each=each))
        for key, rows in sides.items() if task.has_paper_ps else ():
            report["rows"][key] = paper_ps(model, tokenizer, task.template, rows, each)
            report["metrics"][key] = fmean(report["rows"][key])
    return report


def _measure_retain_model(checkpoint: str, task: EvalRequest) -> "RetainValues":
    from eval import suite

    try:
        with tell_progress(checkpoint) as each:
            return suite.measure_retain_model(*load_checkpoint(checkpoint, task), task.template, task.dataset, each)
    except ValueError as error:
        raise UsageError(f"--retain-model {checkpoint}: {error}") from error


def load_checkpoint(checkpoint: str, task: EvalRequest) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    """Load the model, on the GPU if there is one, and its tokenizer.

    Raises:
        UsageError: the checkpoint cannot be measured.
        DataError: it cannot be loaded, needs code of its own, or has too few positions for a row.
    """
    from eval.models.forward import has_known_logits
    from eval.rows import length_check
    from eval.rows.encode import encode_rows

    model, tokenizer = _load_on_device(checkpoint, task.dtype)
    most = getattr(model.config, "max_position_embeddings", None)
    length_check.check_lengths(task.dataset, task.template, lambda: (tokenizer, most))
    if not has_known_logits(model, encode_rows(tokenizer, task.template, task.dataset.forget[:1])):
        raise UsageError(
            f"{checkpoint} cannot be measured: it changes its logits ({model.config.model_type}) behind its output"
            " layer in a way that is not known here"
        )
    return model, tokenizer


def _load_on_device(checkpoint: str, dtype: str) -> "tuple[PreTrainedModel, PreTrainedTokenizerFast]":
    import torch
    from transformers.utils import logging as transformers_logging

    from eval.models.checkpoint import load_model, load_tokenizer

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    revision = find_commit(checkpoint)
    model = load_model(checkpoint, revision, dtype=getattr(torch, dtype))
    tokenizer = load_tokenizer(checkpoint, revision)
    device: Any = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), tokenizer


def print_scores(scores: Mapping[str, Any]) -> None:
    """Print the table of metrics, what limits its numbers, and the metrics that were left out with the reasons."""
    from rich.console import Console

    console = Console(soft_wrap=True)
    console.print(_build_table(scores))
    measured = {name: scores[name] for name in ("reference", "retain_model") if name in scores} | {"checkpoint": scores}
    weights = [f"{name}: {of['weights']}" for name, of in measured.items() if "weights" in of]
    for limit in [*weights, *scores["limits"]]:
        console.print(limit, markup=False, highlight=False)
    reasons: dict[str, list[str]] = {}
    for key, reason in scores["left_out"].items():
        reasons.setdefault(reason, []).append(key)
    for reason, keys in reasons.items():
        console.print(f"left out, {reason}: {', '.join(keys)}", markup=False, highlight=False)


def _build_table(scores: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    columns = {"checkpoint": scores} | {name: scores[name] for name in scores.keys() & {"reference"}}
    table = Table("metric")
    for name in columns:
        table.add_column(name, justify="right")
    for key in scores["definitions"]:
        cells = [f"{of['metrics'][key]:.4g}" if key in of["metrics"] else "" for of in columns.values()]
        if any(cells):
            table.add_row(key, *cells)
    return table


def write_json(out: Path, scores: Mapping[str, Any]) -> None:
    """Write the JSON file atomically."""
    part = out.with_name(f".{out.name}.part")
    part.write_text(json.dumps(scores, ensure_ascii=False, allow_nan=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, out)


if __name__ == "__main__":
    sys.exit(main())
