"""Toy folders of TOFU: their rows, changes to them, and odd texts that rows may hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

from eval.datasets.tofu import Options

Record: TypeAlias = dict[str, Any]
Splits: TypeAlias = dict[str, list[Record]]
Paper: TypeAlias = Literal["forget01", "forget05", "forget10"]


def plain(name: str) -> Record:
    """A row without variants."""
    return {"question": f"What is {name}?", "answer": f"{name} is a letter."}


def varied(name: str) -> Record:
    """The same row with its variants, named as TOFU names them."""
    return plain(name) | {
        "paraphrased_question": f"Say what {name} is.",
        "paraphrased_answer": f"A letter is {name}.",
        "perturbed_answer": [f"A {other} is {name}." for other in ("number", "colour", "word", "sound", "shape")],
    }


def toy() -> Splits:
    """Forget rows A and B; of the retain rows C to G the first two are held out."""
    return {
        "forget01": [plain("A"), plain("B")],
        "forget01_perturbed": [varied("A"), varied("B")],
        "retain99": [plain(name) for name in "CDEFG"],
        "retain_perturbed": [varied("C"), varied("D")],
    }


def write(folder: Path, splits: Splits) -> Path:
    """Write one file of JSON lines for each split, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in splits.items():
        (folder / f"{name}.json").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def config(
    path: Path | str,
    split: Paper = "forget01",
    *,
    max_retain: int | None = None,
    max_holdout: int | None = None,
    unseen: str | None = None,
) -> Options:
    """The configuration for that folder or hub id."""
    return Options(
        source="tofu",
        name=f"tofu-{split}",
        paper_split=split,
        path=str(path),
        revision=None,
        unseen=unseen,
        max_retain=max_retain,
        max_holdout=max_holdout,
    )


def put(split: str, row: int, **values: object) -> Callable[[Splits], object]:
    """Return a change that sets columns of a row, counted from 1."""
    return lambda splits: splits[split][row - 1].update(values)


def add(split: str, *records: Record) -> Callable[[Splits], object]:
    """Return a change that appends rows."""
    return lambda splits: splits[split].extend(records)


def both(*changes: Callable[[Splits], object]) -> Callable[[Splits], object]:
    """Return a change that applies these one after the other."""
    return lambda splits: [change(splits) for change in changes]


ODD = [
    "Ünïcödé e\u0301\u0327",
    "👩‍👩‍👧 🏳️‍🌈",
    "\u202e\u05e9\u05dc\u05d5\u05dd\u202c \u0645\u0631\u062d\u0628\u0627",
    "a\u2028b\u2029c\x85d",
    "\x00\x1b[31m\x07",
    "\u200b",
    "<|end|>",
    "</s><s>[INST]",
    "{answer} {question} {{}} %s",
    "</script><b>",
]
