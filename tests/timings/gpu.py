"""What a step costs on a card: seconds, tokens, share of the card's peak, memory against the forecast, and its bits.

PYTHONPATH=tests python tests/timings/gpu.py [--small] [--minutes 8] [--only TEXT] [--out gpu.json]

WTNPO + KL as configs/wtnpo.yaml has it, on 16 forget and 16 retain rows of random tokens that are as long as TOFU's,
with the architectures of configs/model/ and random weights: no hub, no rows and no checkpoint is needed. Each case is
a process of its own, which ends where its time is over; cases that come too late, or that this machine cannot have, are
left out with the reason. `bits` takes the same steps twice, as shipped and with PyTorch's deterministic algorithms;
`two at once` takes the steps of the first case in two processes on the same card. Without a card, --small shows that
all of it runs: the same configurations with two layers of 64 and batches of 4 rows, whose times mean nothing.
"""

import gc
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from hashlib import sha256
from itertools import islice
from multiprocessing import get_context
from statistics import median
from threading import Barrier
from typing import Any, TypeAlias

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts; `bits` needs it

import torch
from common import parser, show, write
from gpu_training import Case, Training, forecast_peak, make_training
from transformers.utils.import_utils import is_flash_attn_2_available

from eval.models.forward import label_statistics
from support.allocations import measure_allocations
from sweep.config.schema import TrainConfig
from sweep.prepare.budget import PEAK_FLOPS
from sweep.training.loop import StepResult

MEMORY_BAR = 0.1
"""Largest relative difference of the peak memory from the forecast."""
TIMED_S, TIMED_STEPS = 3.0, 3
"""Seconds and number of timed steps, at least."""
BITS_STEPS = 3
COLUMNS = {
    "s a step": "s",
    "tokens/s": "tokens/s",
    "share of the bf16 peak": "bf16 peak",
    "tokens/s read": "read/s",
    "peak, GB": "GB",
    "forecast, GB": "forecast",
    "peak / forecast": "ratio",
}
"""What is measured of a step, and its head in the table."""
Found: TypeAlias = dict[str, Any]


FLASH, LORA = "train.attention=flash_attention_2", "train.lora={rank: 16, alpha: 32}"
MODELS = ("phi-1.5", "llama-3.2-1b", "llama-2-7b")
PRECISIONS = [
    Case(model=model, name=precision, words=(f"train.precision={precision}",))
    for model in MODELS
    for precision in ("kahan", "master", "float32")
    if (model, precision) not in (("llama-2-7b", "master"), ("llama-2-7b", "float32"))  # 108 GB
]
OTHERS = [
    Case(model=model, name=name, words=("train.precision=kahan", word))
    for name, word in (("LoRA", LORA), ("flash attention", FLASH), ("checkpointing", "train.checkpointing=true"))
    for model in MODELS
]
CASES = (
    *PRECISIONS,
    Case(model="llama-3.2-1b", name="bits", words=("train.precision=kahan",), kind="bits"),
    Case(model="phi-1.5", name="bits, master", words=("train.precision=master",), kind="bits"),
    Case(model="phi-1.5", name="two at once", words=("train.precision=kahan",), kind="two at once"),
    *OTHERS,
)
"""In the order of their weight, since the last may find no time."""


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "gpu")
    found.add_argument("--small", action="store_true", help="two layers of 64, batches of 4, as on a CPU")
    found.add_argument("--minutes", type=float, default=8, help="time after which no case goes on (%(default)s)")
    found.add_argument("--only", default="", metavar="TEXT", help="only the cases that have this in their names")
    return found.parse_args()


def find_obstacle(case: Case) -> str:
    """Say why this machine or this version cannot have the case; empty where it can."""
    if FLASH in case.words and not is_flash_attn_2_available():
        return "no flash-attn, or no card"
    if LORA in case.words and "lora" not in TrainConfig.model_fields:
        return "train.lora is not there yet"
    if not case.is_small and not torch.cuda.is_available():
        return "no card: --small runs it on the CPU"
    return ""


def time_work(work: Callable[[], object]) -> float:
    """Seconds of work that the card, where there is one, has finished."""
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def time_steps(steps: Iterator[StepResult], least_s: float) -> list[float]:
    """Seconds of each step, until there are enough of both; the first two, which make kernels, are left out."""
    for _ in range(2):
        next(steps)
    taken: list[float] = []
    while len(taken) < TIMED_STEPS or sum(taken) < least_s:
        taken.append(time_work(partial(next, steps)))
    return taken


def measure_peak(training: Training) -> int:
    """Bytes at the fullest moment of two steps and an evaluation after each, by the allocator's account."""

    def work() -> None:
        for _ in islice(training.take_steps(), 2):
            label_statistics(training.model, training.rows.forget)

    if not torch.cuda.is_available():
        held = {id(weight): weight.nbytes for part in (training.model, training.head) for weight in part.parameters()}
        return measure_allocations(work) + sum(held.values())
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated()


def find_peak_speed() -> float | None:
    """The card's operations per second in bfloat16; None where it is not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((speeds["bfloat16"] for card, speeds in PEAK_FLOPS.items() if card in name), None)


def measure_step(case: Case, least_s: float = TIMED_S) -> Found:
    """Seconds, tokens, memory and share of the card's peak.

    A parameter takes 4 operations per token, 6 if activations are recomputed, and 2 more for its own gradient.
    """
    forecast = forecast_peak(case)
    training = make_training(case)
    peak = measure_peak(training)
    step_s = median(time_steps(training.take_steps(), least_s))
    read_s = time_work(lambda: label_statistics(training.model, training.rows.forget))
    weights = [*training.model.parameters()]
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    passes = (6 if training.config.train.checkpointing else 4) * sum(weight.numel() for weight in weights)
    operations = (passes + 2 * trained) * training.n_tokens
    speed = find_peak_speed()
    return {
        "s a step": step_s,
        "tokens/s": training.n_tokens / step_s,
        "share of the bf16 peak": None if speed is None else operations / step_s / speed,
        "tokens/s read": sum(len(row.inputs) for row in training.rows.forget) / read_s,
        "peak, GB": peak / 1e9,
        "forecast, GB": forecast / 1e9,
        "peak / forecast": peak / forecast,
    }


def measure_bits(case: Case) -> Found:
    """Whether the same steps from the same weights give the same bits, as shipped and with deterministic algorithms."""
    found: Found = {}
    for name, is_deterministic in (("as shipped", False), ("deterministic", True)):
        torch.use_deterministic_algorithms(is_deterministic)
        try:
            digests, seconds = zip(*(digest_steps(case) for _ in range(2)), strict=True)
            found |= {f"same bits {name}": digests[0] == digests[1], f"s a step {name}": seconds[1]}
        except RuntimeError as error:  # an operation that has no deterministic form
            found[f"same bits {name}"] = str(error).splitlines()[0]
    return found


def digest_steps(case: Case) -> tuple[str, float]:
    """The digest of the weights after a few steps, and the seconds of a step."""
    training = make_training(case)
    steps = training.take_steps()
    seconds = [time_work(partial(next, steps)) for _ in range(BITS_STEPS)]
    steps.close()
    digest = sha256()
    for weight in training.model.parameters():
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest(), seconds[-1]


def measure_shared(case: Case, gate: Barrier) -> list[float]:
    """Seconds of a trial's steps while another takes its own on the same card; both begin together."""
    steps = make_training(case).take_steps()
    next(steps)
    gate.wait()
    return time_steps(steps, TIMED_S)


def run_until(deadline: float, work: Callable[[], Any]) -> Any:
    """Do the work in this process, which ends at the deadline."""
    signal.alarm(max(1, int(deadline - time.time())))
    found = work()
    signal.alarm(0)
    return found


def run_alone(case: Case, deadline: float) -> Found:
    """Measure a case in a process of its own."""
    measure = {"step": measure_step, "bits": measure_bits}[case.kind]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        found: Found = fresh.submit(run_until, deadline, partial(measure, case)).result()
    return found


def run_pair(case: Case, deadline: float) -> Found:
    """Measure a case in two processes at once."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(2, mp_context=context) as fresh:
        work = partial(run_until, deadline, partial(measure_shared, case, manager.Barrier(2)))
        taken = [fresh.submit(work) for _ in range(2)]
        seconds = [median(one.result()) for one in taken]
    return {"s a step": max(seconds), "steps/s, both": sum(1 / each for each in seconds)}


def run_case(case: Case, deadline: float) -> Found:
    """Measure a case, or say why not."""
    if obstacle := find_obstacle(case):
        return {"skipped": obstacle}
    if time.time() >= deadline:
        return {"skipped": "no time was left"}
    try:
        return (run_pair if case.kind == "two at once" else run_alone)(case, deadline)
    except BrokenProcessPool:
        return {"skipped": "no time was left" if time.time() >= deadline - 1 else "its process died"}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def name_machine() -> dict[str, object]:
    """What it was measured on."""
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"card": card, "torch": torch.__version__, "CUDA": torch.version.cuda, "cores": os.cpu_count()}


def describe(found: Mapping[str, Any]) -> str:
    """What a case found beside the columns of the table."""
    return ", ".join(
        f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}"
        for key, value in found.items()
        if key not in COLUMNS
    )


def main() -> int:
    """Measure, print the table, write the JSON file; return 1 if a case failed, or took other memory than forecast."""
    asked = options()
    begin = time.time()
    found: dict[str, Found] = {}
    for case in [replace(case, is_small=asked.small) for case in CASES if asked.only in case.title]:
        found[case.title] = run_case(case, begin + 60 * asked.minutes)
        print(case.title, found[case.title], flush=True)
    machine = name_machine()
    rows = [[title, *(of.get(key) or "-" for key in COLUMNS)] for title, of in found.items() if COLUMNS.keys() & of]
    show(f"steps on {machine['card'] or 'a CPU'}", ["case", *COLUMNS.values()], rows)
    print(*(f"{title}: {described}" for title, of in found.items() if (described := describe(of))), sep="\n")
    write(asked.out, {"machine": machine, "small": asked.small, "s": time.time() - begin, "cases": found})
    off = [title for title, of in found.items() if abs(of.get("peak / forecast", 1.0) - 1) > MEMORY_BAR]
    failed = [title for title, of in found.items() if "failed" in of]
    print(f"memory further than {MEMORY_BAR:.0%} from the forecast: {', '.join(off) or 'none'}")
    return 1 if off or failed else 0


if __name__ == "__main__":
    sys.exit(main())
