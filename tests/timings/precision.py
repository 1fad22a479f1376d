"""What each train.precision costs on a pretrained model, and how closely kahan follows float32.

python tests/timings/precision.py MODEL [--tofu ../shared/tofu] [--layers N] [--out precision.json]

MODEL is a folder as of SmolLM2-135M-Instruct. First each precision takes steps of eight rows of TOFU forget01 on one
thread, and reads them; the processor's seconds are counted. Then come 125 steps at a learning rate of 1e-5, of one row
each: three copies take them, one in float32; one in kahan by the gradients of the first, which tells what its optimizer
loses; and one in kahan by gradients of its own, which are computed in bfloat16. Of weights and what rounding took from
them, which the next steps get back, the part that lies along float32's update must be within 1 % of it. The rest of the
difference is given as a share of float32's update too, and that of the weights alone, rounded to bfloat16.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from common import parser, seconds, show, write
from subject import TOFU, TOKENS
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel

from eval import datasets
from eval.models.checkpoint import load_model, load_tokenizer
from eval.models.forward import find_blocks, label_statistics
from eval.rows.encode import EncodedRow, encode_rows
from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.training.loop import Schedule, train_steps
from sweep.training.loss_terms import nll_parts
from sweep.training.precision import WEIGHT_DTYPES, apply_precision, build_optimizer

BAR = 0.01
"""Largest difference of the update along float32's from 1."""
SCHEDULE = Schedule(
    n_rows=25,
    n_epochs=5,
    batch_size=1,
    lr=1e-5,
    warmup_from=1,
    weight_decay=0.0,
    max_grad_norm=1.0,
    checkpointing=False,
)
"""125 steps, the first 25 of them to warm up, as of a trial on forget10."""
SPEED_ROWS, SPEED_STEPS = 8, 3
FLOAT32, LED, OWN = "float32", "kahan, float32's gradients", "kahan, its own gradients"


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "precision")
    found.add_argument("model", type=Path, help="folder of a pretrained model")
    found.add_argument("--tofu", type=Path, default=TOFU, help="folder of TOFU's files (%(default)s)")
    found.add_argument("--layers", type=int, help="keep only the first layers of the model (all)")
    return found.parse_args()


def read_rows(asked: Namespace) -> list[EncodedRow]:
    """The forget rows, worded for SmolLM2."""
    words = ["model=smollm2-135m", f"model.path={asked.model}", "data=tofu-forget01", f"data.path={asked.tofu}"]
    config = load(CONFIGS / "wtnpo.yaml", words)
    return encode_rows(load_tokenizer(asked.model), config.model.row_template, datasets.load(config.data).forget)


def make_copy(asked: Namespace, precision: str) -> PreTrainedModel:
    """Load the model in a precision, with its first layers alone if so asked."""
    model = load_model(asked.model, dtype=WEIGHT_DTYPES[precision])
    if asked.layers:
        layers: Any = find_blocks(model)
        del layers[asked.layers :]
    return apply_precision(model, precision)


def measure_speed(asked: Namespace, precision: str, rows: Sequence[EncodedRow]) -> dict[str, float]:
    """Tokens per processor second of training steps, and of reading, after one of each."""
    model, chosen = make_copy(asked, precision), rows[:SPEED_ROWS]
    losses = (nll_parts(model, chosen, range(SPEED_ROWS), TOKENS) for _ in range(1 + SPEED_STEPS))
    steps = train_steps(model, SCHEDULE, losses)
    next(steps)
    label_statistics(model, chosen)
    n_tokens = sum(len(row.inputs) for row in chosen)
    return {
        "training": SPEED_STEPS * n_tokens / seconds(lambda: list(steps)),
        "reading": SPEED_STEPS
        * n_tokens
        / seconds(lambda: [label_statistics(model, chosen) for _ in range(SPEED_STEPS)]),
    }


def set_own_gradients(model: PreTrainedModel, rows: Sequence[EncodedRow], index: int) -> float:
    """Set the clipped gradients of the loss of one row, and return the loss."""
    (loss,) = nll_parts(model, rows, [index], TOKENS)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), SCHEDULE.max_grad_norm or 1.0)
    return float(loss.detach())


def take_steps(copies: dict[str, PreTrainedModel], optimizers: dict[str, Optimizer], rows: Sequence[EncodedRow]) -> Any:
    """Take the steps, and return the losses of each copy that computes its own."""
    schedulers = [LambdaLR(optimizer, SCHEDULE.scale_lr) for optimizer in optimizers.values()]
    losses: dict[str, list[float]] = {FLOAT32: [], OWN: []}
    for index in islice(cycle(range(len(rows))), SCHEDULE.n_steps):
        for name, own in losses.items():
            own.append(set_own_gradients(copies[name], rows, index))
        for led, leader in zip(copies[LED].parameters(), copies[FLOAT32].parameters(), strict=True):
            led.grad = None if leader.grad is None else leader.grad.bfloat16()
        for optimizer, scheduler in zip(optimizers.values(), schedulers, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    return losses


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All of a model's weights in float32."""
    return torch.cat([tensor.detach().float().flatten() for tensor in tensors])


def compare(model: PreTrainedModel, optimizer: Optimizer, start: Tensor, exact: Tensor) -> dict[str, float]:
    """The differences from float32's weights as shares of its update."""
    update, weights = (exact - start).norm(), [*model.parameters()]
    rounded = flatten(weights)
    kept = rounded + flatten([optimizer.state[weight]["kahan_comp"] for weight in weights])
    along = torch.dot(kept - start, exact - start) / update**2
    return {
        "weights and what rounding took": float((kept - exact).norm() / update),
        "weights": float((rounded - exact).norm() / update),
        "update along float32's": float(along),
    }


def main() -> int:
    """Measure, print the table, write the JSON file; return 1 where it does not hold."""
    asked = options()
    torch.set_num_threads(1)
    rows = read_rows(asked)
    speeds = {precision: measure_speed(asked, precision, rows) for precision in WEIGHT_DTYPES}
    show(
        "tokens per processor second", ["", *speeds[FLOAT32]], [[name, *each.values()] for name, each in speeds.items()]
    )
    copies = {name: make_copy(asked, name.partition(",")[0]) for name in (FLOAT32, LED, OWN)}
    optimizers = {name: build_optimizer(model, SCHEDULE.lr, 0.0) for name, model in copies.items()}
    start = flatten([*copies[LED].parameters()])
    copies[FLOAT32].load_state_dict(copies[LED].state_dict())
    losses = take_steps(copies, optimizers, rows)
    exact = flatten([*copies[FLOAT32].parameters()])
    found = {name: compare(copies[name], optimizers[name], start, exact) for name in (LED, OWN)}
    columns = [*found[LED]]
    show(f"{SCHEDULE.n_steps} steps, of float32's update", ["", *columns], [[n, *f.values()] for n, f in found.items()])
    epochs = {name: [sum(own[i : i + 25]) / 25 for i in range(0, len(own), 25)] for name, own in losses.items()}
    show("loss of each 25 steps", ["", *map(str, range(1, 6))], [[name, *each] for name, each in epochs.items()])
    write(asked.out, {"parameters": start.numel(), "tokens/s": speeds, "differences": found, "losses": losses})
    return int(any(abs(of["update along float32's"] - 1) > BAR for of in found.values()))


if __name__ == "__main__":
    sys.exit(main())
