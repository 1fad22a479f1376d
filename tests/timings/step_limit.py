"""What our step costs beyond forward and backward of the same loss over the same real tokens: at most 15 %.

python tests/timings/step_limit.py [--tofu ../shared/tofu] [--rounds 7] [--out step_limit.json] [key=value ...]

A step is WTNPO + KL on 16 forget and 16 retain rows of TOFU forget01, with a Llama of 7.4 M parameters, by
configs/wtnpo.yaml and the words key=value: micro-batches, chunks, stored reference, clipping and optimizer, all of it.
Beside it stand bare passes over the same rows: the loss written down plainly, logits of all that enters it at once, no
optimizer, and batches made beforehand. They go one row after the other, which pads nothing; or all rows at once, padded
to the longest; or rows of like length, 512 positions at a time, which pads little. The cheapest of the three is the
limit. All take turns on one thread, on the same batches; the processor's seconds are counted and medians compared.
"""

import math
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import parser, seconds, show, write
from subject import TOFU, tofu_subject
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

import objectives
from eval.models.forward import hidden_states
from eval.models.logits import head_of
from eval.rows.encode import Batch, EncodedRow, collate
from sweep.config.schema import SweepConfig
from sweep.training.loop import Schedule, StepResult, get_accelerator, shuffled_batches, train_steps
from sweep.training.loss_terms import build_terms, split_micro_batches
from sweep.training.precision import build_optimizer
from sweep.training.reference import select_rows
from sweep.trial.session import Session, get_session

BAR = 1.15
SETTING = {"alpha": 0.5, "beta": 0.25}
STEPS = 4
"""In each round, each on batches of its own."""
FEW = 512
"""Positions of a pass of rows of like length: of 256 to 1024 the cheapest on a processor."""
OURS = "our step"
ALONE, TOGETHER, SORTED = "bare, row by row", "bare, all rows at once", "bare, rows of like length"
OPTIMIZER, BATCHES = "of our step: clipping and optimizer", "of our step: batches made, reference read"


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A bare pass over some rows of a batch: what the reference says of them, and by what their sum is divided."""

    batch: Batch
    said: Tensor
    count: int


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The forget and the retain rows of a step, by number."""

    forget: list[int]
    retain: list[int]


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "step_limit")
    found.add_argument("--tofu", type=Path, default=TOFU, help="folder of TOFU's files (%(default)s)")
    found.add_argument("--rounds", type=int, default=7, help="rounds of each kind (%(default)s)")
    found.add_argument("words", nargs="*", metavar="key=value", help="changes to our configuration")
    return found.parse_args()


def our_steps(here: Session, config: SweepConfig, pairs: Sequence[Pair]) -> Iterator[StepResult]:
    """The steps of a trial over the pairs, again and again."""
    train = config.train
    schedule = Schedule(
        n_rows=len(here.training_rows.forget),
        n_epochs=10**6,
        batch_size=train.batch,
        lr=train.lr / 1000,
        warmup_from=0,
        weight_decay=0.0,
        max_grad_norm=train.clip,
        checkpointing=train.checkpointing,
    )
    forget, retain = build_terms(
        config, objectives.load("wtnpo")(**SETTING), 0, here.model, here.training_rows, here.reference
    )
    both = (
        chain(forget.loss_parts(here.model, p.forget), retain.loss_parts(here.model, p.retain)) for p in cycle(pairs)
    )
    return train_steps(here.model, schedule, both)


def forget_pass(here: Session, chosen: Sequence[int], group: Sequence[int]) -> Pass:
    """A pass over forget rows, with the reference's log-probabilities of the labels [N]."""
    rows = here.training_rows.forget
    batch = collate([rows[i] for i in group], here.model.device)
    count = sum(len(rows[i].labels) for i in chosen)
    return Pass(batch=batch, said=select_rows(here.reference.forget.logp, group, here.model.device), count=count)


def retain_pass(here: Session, chosen: Sequence[int], group: Sequence[int]) -> Pass:
    """A pass over retain rows, with the reference's final hidden states [P, d]."""
    rows = here.training_rows.retain
    batch = collate([rows[i] for i in group], here.model.device)
    count = sum(len(rows[i].inputs) for i in chosen)
    return Pass(batch=batch, said=select_rows(here.reference.retain, group, here.model.device), count=count)


def forget_loss(here: Session, one: Pass) -> Tensor:
    """WTNPO, divided by the answer tokens of all chosen rows."""
    batch = one.batch
    logits = head_of(here.model)(hidden_states(here.model, batch)[batch.row, batch.position])
    ce = cross_entropy(logits, batch.label, reduction="none")
    p, ref_p = (-ce).exp().detach(), one.said.exp()
    alpha, beta = SETTING["alpha"], SETTING["beta"]
    return -(2 * p ** (alpha + beta) / (p**beta + ref_p**beta + 1e-5) * ce).sum() / one.count


def retain_loss(here: Session, one: Pass) -> Tensor:
    """KL, divided by the positions of all chosen rows."""
    logp = head_of(here.model)(hidden_states(here.model, one.batch)[one.batch.mask.bool()]).log_softmax(1)
    ref_logp = here.reference.head(one.said).log_softmax(1)
    return kl_div(logp, ref_logp, reduction="sum", log_target=True) / one.count


Grouping = Callable[[Sequence[EncodedRow], Sequence[int]], list[list[int]]]
"""How chosen rows are split into passes."""


def one_by_one(rows: Sequence[EncodedRow], chosen: Sequence[int]) -> list[list[int]]:
    """Nothing is padded."""
    return [[i] for i in chosen]


def at_once(rows: Sequence[EncodedRow], chosen: Sequence[int]) -> list[list[int]]:
    """Padded to the longest of all."""
    return [[*chosen]]


def sorted_by_length(tokens: int, rows: Sequence[EncodedRow], chosen: Sequence[int]) -> list[list[int]]:
    """Rows of like length together, so many positions at a time."""
    return list(split_micro_batches(rows, chosen, tokens))


def bare(here: Session, pairs: Sequence[Pair], split: Grouping) -> Callable[[], None]:
    """Forward and backward over the pairs, with the batches made beforehand."""
    asked = here.training_rows
    passes = [
        (
            [forget_pass(here, pair.forget, group) for group in split(asked.forget, pair.forget)],
            [retain_pass(here, pair.retain, group) for group in split(asked.retain, pair.retain)],
        )
        for pair in pairs
    ]

    def work() -> None:
        for forget, retain in passes:
            here.model.zero_grad()
            for one in forget:
                forget_loss(here, one).backward()
            for one in retain:
                retain_loss(here, one).backward()
        here.model.zero_grad()

    return work


def optimizing(here: Session, config: SweepConfig) -> Callable[[], None]:
    """Clipping and the optimizer alone."""
    optimizer = build_optimizer(here.model, config.train.lr / 1000, 0.0)

    def work() -> None:
        for weight in here.model.parameters():
            weight.grad = torch.zeros_like(weight)
        for _ in range(STEPS):
            get_accelerator().clip_grad_norm_(here.model.parameters(), config.train.clip or math.inf)
            optimizer.step()
        optimizer.zero_grad()

    return work


def padding(rows: Sequence[EncodedRow], groups: Sequence[Sequence[int]]) -> int:
    """Positions of the groups when they are padded."""
    return sum(len(group) * max(len(rows[i].inputs) for i in group) for group in groups)


def positions(here: Session, pairs: Sequence[Pair], split: Grouping) -> int:
    """Positions of all passes."""
    asked = here.training_rows
    both = [part for p in pairs for part in ((asked.forget, p.forget), (asked.retain, p.retain))]
    return sum(padding(rows, split(rows, chosen)) for rows, chosen in both)


def measure(here: Session, config: SweepConfig, rounds: int) -> dict[str, Any]:
    """The seconds of a step of each kind, and what is padded."""
    batch = config.train.batch
    streams = [
        shuffled_batches(len(rows), batch, seed)
        for seed, rows in enumerate((here.training_rows.forget, here.training_rows.retain))
    ]
    pairs = [Pair(forget=next(streams[0]), retain=next(streams[1])) for _ in range(STEPS)]
    ours = our_steps(here, config, pairs)
    own: Grouping = partial(sorted_by_length, config.train.tokens)
    splits: dict[str, Grouping] = {ALONE: one_by_one, TOGETHER: at_once, SORTED: partial(sorted_by_length, FEW)}
    works: dict[str, Callable[[], object]] = {OURS: lambda: list(islice(ours, STEPS))}
    works |= {name: bare(here, pairs, split) for name, split in splits.items()}
    works |= {OPTIMIZER: optimizing(here, config), BATCHES: lambda: bare(here, pairs, own)}
    for work in works.values():
        work()
    times = [{name: seconds(work) / STEPS for name, work in works.items()} for _ in range(rounds)]
    limit = min(splits, key=lambda name: median(time[name] for time in times))
    return {
        "seconds": {name: median(time[name] for time in times) for name in works},
        "ours / it": {name: median(time[OURS] / time[name] for time in times) for name in splits},
        "limit": limit,
        "ours / limit": median(time[OURS] / time[limit] for time in times),
        "bar": BAR,
        "positions per real token": {
            name: positions(here, pairs, split) / positions(here, pairs, one_by_one)
            for name, split in {OURS: own, **splits}.items()
        },
        "rounds": times,
    }


def main() -> None:
    """Measure, print the table, write the JSON file."""
    asked = options()
    if not asked.tofu.is_dir():
        sys.exit(f"skipped: {asked.tofu} is not there; --tofu names the folder of TOFU's .json files.")
    torch.set_num_threads(1)
    with tofu_subject(asked.tofu, asked.words) as subject:
        found = measure(get_session(subject.config, subject.artifacts), subject.config, asked.rounds)
    ratios, padded = found["ours / it"], found["positions per real token"]
    rows = [[name, took, ratios.get(name, ""), padded.get(name, "")] for name, took in found["seconds"].items()]
    show("the processor's seconds of a step", ["what", "s", "ours / it", "positions per real token"], rows)
    print(f"ours / limit ({found['limit']}): {found['ours / limit']:.3f}, at most {BAR}")
    write(asked.out, found)


if __name__ == "__main__":
    main()
