"""What all trials of a sweep share, made once: the target, and what the reference says of the rows."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.checkpoint import load_model, load_tokenizer
from eval.data import Dataset, Row
from eval.encode import Encoded, encode_refusals, encode_rows
from eval.refusals import refusal_of
from eval.suite import Probes, evaluate, retain_values
from sweep.config import SweepConfig, TargetConfig, Template
from sweep.unlearning import artifacts, models, reference
from sweep.unlearning.loop import Schedule, accelerator, descend, stream
from sweep.unlearning.losses import PADDED, nll_parts

FORMAT = 1
"""Raised when an artifact's content changes for the same inputs."""
ROWS = "rows.json"
TEMPLATE = "template.json"
METRICS = "metrics.json"
RETAIN = "retain.json"


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """Folders of what a sweep needs, addressed by the hash of what they are made from.

    Attributes:
        target: the target, its tokenizer and the rows.
        reference: what the reference says of the rows.
        retain_model: the model that never saw the forget rows; None where no metric asks for it.
    """

    target: Path
    reference: Path
    retain_model: Path | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a stage of the preparation is."""

    stage: str
    done: int
    total: int


def plan(config: SweepConfig, dataset: Dataset) -> Artifacts:
    """Where the sweep's artifacts lie or will lie; nothing is made."""
    inputs: dict[str, object] = {
        "format": FORMAT,
        "rows": dataset.digest,
        "model": config.model.model_dump(exclude={"name", "layers", "deepest"}),
        "target": config.target.model_dump(),
    }
    target = artifacts.address(config.storage, inputs)
    refusals = [refusal_of(row.question) for row in dataset.forget]
    said = {"target": target.name, "reduction": config.retain.reduction, "refusals": refusals}
    retain_model = artifacts.address(config.storage, inputs | {"without": "forget"})
    return Artifacts(
        target=target,
        reference=artifacts.address(config.storage, said),
        retain_model=retain_model if config.eval.suite == "full" else None,
    )


def missing(wanted: Artifacts) -> list[str]:
    """Which of the artifacts are yet to be made."""
    folders = {"target": wanted.target, "reference": wanted.reference, "retain model": wanted.retain_model}
    return [name for name, folder in folders.items() if folder is not None and not artifacts.whole(folder)]


def makers(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> list[Callable[[], Iterator[Progress]]]:
    """What makes the missing artifacts; the makers may run side by side, and none is there where nothing is missing."""
    absent = missing(wanted)
    retain_model = [partial(make_retain_model, config, dataset, wanted.retain_model)] if wanted.retain_model else []
    known = [partial(make_reference, config, dataset, wanted)] if {"target", "reference"} & {*absent} else []
    return [*known, *(retain_model if "retain model" in absent else [])]


def make_reference(config: SweepConfig, dataset: Dataset, wanted: Artifacts) -> Iterator[Progress]:
    """Make the target, and of it the reference's values; of two makers at once the second waits and finds them made."""
    with artifacts.made(wanted.target) as folder:
        if folder is not None:
            yield from _make_model("target", config, dataset, dataset.known, folder)
    with artifacts.made(wanted.reference) as folder:
        if folder is not None:
            yield Progress(stage="reference", done=0, total=1)
            _make_values(config, wanted.target, folder)
            yield Progress(stage="reference", done=1, total=1)


def make_retain_model(config: SweepConfig, dataset: Dataset, wanted: Path) -> Iterator[Progress]:
    """Make the retain model, fine-tuned as the target but without the forget rows, and what it says of them."""
    with artifacts.made(wanted) as folder:
        if folder is not None:
            without = config.model_copy(update={"target": config.target.model_copy(update={"path": None})})
            yield from _make_model("retain model", without, dataset, dataset.retain + dataset.holdout, folder)
            model, tokenizer = load_model(folder).to(accelerator().device), load_tokenizer(folder)
            values = retain_values(model, tokenizer, config.model.template, dataset)
            (folder / RETAIN).write_text(json.dumps(asdict(values)), encoding="utf-8")


def _make_model(
    stage: str, config: SweepConfig, dataset: Dataset, known: Sequence[Row], folder: Path
) -> Iterator[Progress]:
    """Fine-tune the model on the rows that it is to know (or take the tuned one) and save it."""
    seed = config.data.seed if config.data.source == "authors" else 0
    if config.target.path is not None:
        model, tokenizer = load_model(config.target.path), load_tokenizer(config.target.path)
    else:
        model, tokenizer = models.base(config.model, dataset, seed)
        rows = encode_rows(tokenizer, config.model.template, known)
        yield from _fine_tune(stage, config.target, model.to(accelerator().device), rows, seed)
    model.save_pretrained(folder, max_shard_size="1TB")
    tokenizer.save_pretrained(folder)
    (folder / ROWS).write_text(dataset.to_json(), encoding="utf-8")
    # With it `python -m eval.run FOLDER` knows how the rows were worded.
    (folder / TEMPLATE).write_text(config.model.template.model_dump_json(), encoding="utf-8")


def _fine_tune(
    stage: str, tuning: TargetConfig, model: PreTrainedModel, rows: list[Encoded], seed: int
) -> Iterator[Progress]:
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
        yield Progress(stage=stage, done=step, total=schedule.steps)


def _make_values(config: SweepConfig, target: Path, folder: Path) -> None:
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
