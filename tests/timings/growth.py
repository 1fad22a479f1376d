"""How a trial's time and memory grow with rows, with tokens per row and with the vocabulary, one varied at a time.

python tests/timings/growth.py [--out growth.json] [key=value ...]

WTNPO + KL as configs/wtnpo.yaml has it, evaluation after each of five epochs included, with a small Llama of random
weights on rows of random words, as many forget as retain as holdout rows. Each point is a process of its own on one
thread, which runs two trials: of the second the processor's seconds are counted, and the peak of the memory above what
the process took before it loaded anything (Linux alone says so). The slope is the straight line's through the points;
the exponent is that of the power of x which fits them best: 1 is linear, 0 no growth. The time has a constant part, as
each step and each layer costs something whatever its size, so that its exponent comes near 1 only from below.
"""

import gc
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import transformers
from common import memory, parser, seconds, show, write
from subject import Subject, subject
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from eval.rows.types import Dataset, Row
from sweep.config.model_schema import Shape
from sweep.config.space import build_objective
from sweep.training.models import END_OF_TEXT, make_llama
from sweep.trial.unlearn import measure_search_suite, run_unlearning

UNKNOWN = "<|unknown|>"
TEMPLATE_TOKENS = 2
"""Of a row that are not its own words: `Question:` and `Answer:`."""
EPOCHS = 5


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a trial is about: rows of each part, tokens that the model reads of each row, entries of the vocabulary."""

    rows: int
    tokens: int
    vocabulary: int


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What is varied, through which values, and the unit in which slopes are given."""

    name: str
    values: tuple[int, ...]
    unit: int


BASE = Point(rows=64, tokens=32, vocabulary=2048)
AXES = (
    Axis(name="rows", values=(32, 64, 128, 256), unit=100),
    Axis(name="tokens", values=(16, 32, 64, 128), unit=100),
    Axis(name="vocabulary", values=(2048, 4096, 8192, 16384), unit=1000),
)


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "growth")
    found.add_argument("words", nargs="*", metavar="key=value", help="changes to the configuration")
    return found.parse_args()


def words_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Each word w0, w1 … is a token."""
    entries = [END_OF_TEXT, UNKNOWN, *(f"w{i}" for i in range(vocabulary - 2))]
    words = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT, unk_token=UNKNOWN
    )


def dataset(point: Point) -> Dataset:
    """Rows of random words, half of them the question's."""
    draw = Random(0)  # noqa: S311 (words, not secrets)
    own = point.tokens - TEMPLATE_TOKENS

    def words(count: int) -> str:
        return " ".join(f"w{draw.randrange(point.vocabulary - 2)}" for _ in range(count))

    def row() -> Row:
        return Row(question=words(own // 2), answer=words(own - own // 2), paraphrased_question=words(own // 2))

    forget, retain, holdout = (tuple(row() for _ in range(point.rows)) for _ in range(3))
    return Dataset(forget=forget, retain=retain, holdout=holdout)


def trial(about: Subject) -> None:
    """One trial."""
    objective = build_objective(about.config, {"alpha": 0.5, "beta": 0.25})
    for _ in run_unlearning(about.config, about.artifacts, objective, 0, measure_search_suite):
        pass


def cost(about: Subject) -> dict[str, float]:
    """Seconds and MB of a trial, in the process that this is called in."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    before = memory("VmRSS")
    trial(about)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here on
    return {"s": seconds(lambda: trial(about)), "MB": memory("VmHWM") - before}


def measured(point: Point, words: Sequence[str]) -> dict[str, float]:
    """Seconds and MB of a trial at a point, in a process of its own."""
    tokenizer = words_tokenizer(point.vocabulary)
    shape = Shape(layers=2, hidden=128, intermediate=256, heads=2, vocabulary=point.vocabulary)
    model = make_llama(shape, tokenizer, seed=0)
    with (
        subject(model, tokenizer, words, dataset(point)) as about,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh,
    ):
        return fresh.submit(cost, about).result()


def line(axis: Axis, costs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The slopes, and the exponents of the powers of x, that fit the points of an axis best."""
    x = np.array(axis.values, dtype=float)
    found: dict[str, Any] = {"points": dict(zip(axis.values, costs, strict=True)), "unit": axis.unit}
    for what in ("s", "MB"):
        y = np.array([cost[what] for cost in costs])
        found[what] = {
            "slope": float(np.polyfit(x / axis.unit, y, 1)[0]),
            "exponent": float(np.polyfit(np.log(x), np.log(y), 1)[0]),
        }
    return found


def varied(axis: Axis, value: int) -> Point:
    """The point of an axis."""
    return replace(BASE, **{axis.name: value})


def cells(name: str, of: dict[str, Any]) -> list[str]:
    """An axis in the table: the ends of its points, the slopes and the exponents."""

    def ends(what: str) -> str:
        low, *_, high = [cost[what] for cost in of["points"].values()]
        return f"{low:.3g} - {high:.3g}"

    low, *_, high = of["points"]
    slopes = [f"{of[what]['slope']:.3g} {what} per {of['unit']}" for what in ("s", "MB")]
    exponents = [f"{of[what]['exponent']:.2f}" for what in ("s", "MB")]
    return [f"{low} - {high} {name}", ends("s"), slopes[0], exponents[0], ends("MB"), slopes[1], exponents[1]]


def main() -> None:
    """Measure, print the table, write the JSON file."""
    asked = options()
    torch.set_num_threads(1)
    wanted = dict.fromkeys(varied(axis, value) for axis in AXES for value in axis.values)
    costs = {point: measured(point, asked.words) for point in wanted}
    found = {axis.name: line(axis, [costs[varied(axis, value)] for value in axis.values]) for axis in AXES}
    columns = ["varied", "time, s", "slope", "power", "memory, MB", "slope", "power"]
    show(f"a trial, one of {asdict(BASE)} varied", columns, [cells(name, of) for name, of in found.items()])
    for axis, others in ((AXES[0], BASE.tokens), (AXES[1], BASE.rows)):
        thousands = EPOCHS * 2 * others * axis.unit / 1000
        print(f"by {axis.name}: {found[axis.name]['s']['slope'] / thousands:.3g} s per 1,000 real tokens trained on")
    write(asked.out, found)


if __name__ == "__main__":
    main()
