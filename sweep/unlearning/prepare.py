"""What all trials of a sweep share, made once: the target, and what the reference says of the rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.checkpoint import load_model, load_tokenizer
from eval.data import Dataset
from eval.encode import Encoded, encode_refusals, encode_rows
from eval.refusals import refusal_of
from eval.suite import Probes, evaluate
from sweep.config import SweepConfig, Template
from sweep.unlearning import artifacts, models, reference
from sweep.unlearning.loop import Schedule, accelerator, descend, stream
from sweep.unlearning.losses import PADDED, nll_parts

FORMAT = 1
"""Raised when an artifact's content changes for the same inputs."""
ROWS = "rows.json"
METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Folders of what a sweep needs, addressed by the hash of what they are made from."""

    target: Path
    reference: Path


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a stage of the preparation is."""

    stage: str
    done: int
    total: int


def plan(config: SweepConfig, dataset: Dataset) -> Artifacts:
    """Where the sweep's artifacts lie or will lie; nothing is made."""
    inputs = {
        "format": FORMAT,
        "rows": dataset.digest,
        "model": config.model.model_dump(exclude={"name", "layers", "deepest"}),
        "target": config.target.model_dump(),
        "seed": config.data.seed if config.data.source == "authors" else 0,
    }
    target = artifacts.address(config.storage, inputs)
    refusals = [refusal_of(row.question) for row in dataset.forget]
    said = {"target": target.name, "reduction": config.retain.reduction, "refusals": refusals}
    return Artifacts(target=target, reference=artifacts.address(config.storage, said))


def missing(wanted: Artifacts) -> list[str]:
    """Which of the artifacts are yet to be made, in the order of their making."""
    return [name for name in ("target", "reference") if not artifacts.whole(getattr(wanted, name))]


def make(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[Progress]:
    """Make what is missing; of two makers at once the second waits and then finds it made."""
    with artifacts.made(wanted.target) as folder:
        if folder is not None:
            yield from _make_target(config, dataset, folder)
    with artifacts.made(wanted.reference) as folder:
        if folder is not None:
            yield Progress(stage="reference", done=0, total=1)
            _make_reference(config, wanted.target, folder)
            yield Progress(stage="reference", done=1, total=1)


def _make_target(config: SweepConfig, dataset: Dataset, folder: Path) -> Iterator[Progress]:
    """Fine-tune the model on the rows that the target knows (or take the tuned one) and save it."""
    seed = 0
    if config.target.path is not None:
        model, tokenizer = load_model(config.target.path), load_tokenizer(config.target.path)
    else:
        model, tokenizer = models.base(config.model, dataset, seed)
        rows = encode_rows(tokenizer, config.model.template, dataset.known)
        yield from _fine_tune(config, model.to(accelerator().device), rows, seed)
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)
    (folder / ROWS).write_text(dataset.to_json(), encoding="utf-8")


def _fine_tune(config: SweepConfig, model: PreTrainedModel, rows: list[Encoded], seed: int) -> Iterator[Progress]:
    tuning = config.target
    schedule = Schedule(
        rows=len(rows),
        epochs=tuning.epochs,
        batch=tuning.batch,
        lr=tuning.lr,
        weight_decay=tuning.weight_decay,
        clip=1.0,
    )
    batches = stream(len(rows), tuning.batch, seed)
    losses = (nll_parts(model, rows, chosen) for chosen in batches)
    for step, _ in enumerate(descend(model, schedule, losses), start=1):
        yield Progress(stage="target", done=step, total=schedule.steps)


def _make_reference(config: SweepConfig, target: Path, folder: Path) -> None:
    """Compute what the reference says of the rows, and its metrics."""
    dataset, tokenizer = Dataset.read(target / ROWS), load_tokenizer(target)
    model = load_model(target).to(accelerator().device)
    reference.write(folder, model, asked(config.model.template, config.retain.reduction, dataset, tokenizer))
    metrics = evaluate(model, Probes.of(dataset, tokenizer, config.model.template))
    (folder / METRICS).write_text(json.dumps(metrics), encoding="utf-8")


def asked(template: Template, reduction: str, dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> reference.Asked:
    """The rows that are trained on while unlearning, as tokens."""
    return reference.Asked(
        forget=tuple(encode_rows(tokenizer, template, dataset.forget)),
        refusals=tuple(encode_refusals(tokenizer, template, dataset.forget)),
        retain=tuple(encode_rows(tokenizer, template, dataset.retain)),
        length=PADDED if reduction == "padded500" else 0,
    )
