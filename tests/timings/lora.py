"""Adapters of full rank against full fine-tuning, on the embedded default, each at its best of five learning rates.

python tests/timings/lora.py [--setting alpha=1 beta=1] [--rank 96] [--out FILE] [key=value ...]

Both unlearn from the same target. The learning rate of each is the one with the lowest mean score on `CHOOSING` seeds;
the scores at it on `REPORT` seeds, which chose nothing, are compared in pairs: adapters reach full fine-tuning where
the 95 % interval of the difference contains 0, and where their mean is below. A rank of 96 is full for every layer of
the blocks; embeddings and norms have no adapters.

Then what a trial's step of 16 + 16 rows takes is measured in the processor's seconds: with the reference's stored
outputs, and what a reference with the adapters off would add, a forward of the same rows.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from statistics import fmean, median, stdev

import torch
import transformers
from common import parser, seconds, show, write

from eval import datasets
from eval.models.forward import hidden_states
from eval.rows.encode import collate
from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.config.space import build_objective
from sweep.prepare.artifacts import locate_artifacts
from sweep.prepare.build import make_reference
from sweep.records import Setting
from sweep.results.statistics import compare_pairs
from sweep.training.checkpoint import Checkpoint
from sweep.training.loop import build_trial_schedule
from sweep.training.lora import list_adapters
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.session import get_session
from sweep.trial.unlearn import _iterate_steps, measure_search_suite, run_unlearning

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0)
"""The learning rates of both, as multiples of the model's own: ten times that is for ranks far below full."""
CHOOSING, REPORT = range(3), range(100, 105)
ROUNDS = 5
"""Steps that are timed."""
Task = tuple[SweepConfig, float, int]
"""A sweep, the factor of its learning rate, and a seed."""


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "lora")
    found.add_argument("--setting", nargs=2, default=["alpha=1", "beta=1"], help="WTNPO's (%(default)s)")
    found.add_argument("--rank", type=int, default=96, help="of the adapters (%(default)s)")
    found.add_argument("words", nargs="*", metavar="key=value", help="changes to the configuration")
    return found.parse_args()


def score(setting: Setting, task: Task) -> float:
    """The score of one trial on one thread."""
    torch.set_num_threads(1)
    config, factor, seed = task
    own = config.with_setting({"train.lr": config.train.lr * factor})
    places = locate_artifacts(own, datasets.load(own.data))
    *_, outcome = run_unlearning(own, places, build_objective(own, setting), seed, measure_search_suite)
    assert isinstance(outcome, TrialOutcome)
    return outcome.metrics["score"]


def measure_scores(setting: Setting, tasks: Sequence[Task]) -> list[float]:
    """The scores of trials, two at once."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(partial(score, setting), tasks))


def time_reference(config: SweepConfig, setting: Setting) -> dict[str, float]:
    """The seconds of a step with adapters and stored outputs, and of a forward of its rows with the adapters off."""
    torch.set_num_threads(1)
    session = get_session(config, locate_artifacts(config, datasets.load(config.data)))
    session.target_weights.reset(session.model, 0)
    schedule = build_trial_schedule(config, len(session.training_rows.forget))
    checkpoint = Checkpoint(None, {}, None, session.model)
    objective = build_objective(config, setting)
    with closing(_iterate_steps(session, config, schedule, objective, 0, checkpoint, [])) as steps:
        next(steps)
        step = median(seconds(lambda: next(steps)) for _ in range(ROUNDS))
    for layer in list_adapters(session.model).values():
        layer.enable_adapters(False)
    rows = [*session.training_rows.forget[: config.train.batch], *session.training_rows.retain[: config.train.batch]]

    @torch.no_grad()
    def forward() -> None:
        hidden_states(session.model, collate(rows, session.model.device))

    return {"step": step, "forward": median(seconds(forward) for _ in range(ROUNDS))}


def main() -> int:
    """Choose the learning rates, compare, and write the table; 1 where full fine-tuning is better."""
    typed = options()
    transformers.utils.logging.disable_progress_bar()
    setting: Setting = {name: float(value) for name, value in (word.split("=") for word in typed.setting)}
    full = load(CONFIGS / "wtnpo.yaml", typed.words)
    own = [f"train.lora.rank={typed.rank}", f"train.lr={full.train.lr}"]
    sweeps = {"full": full, "adapters": load(CONFIGS / "wtnpo.yaml", [*typed.words, *own])}
    dataset = datasets.load(full.data)
    list(make_reference(full, dataset, locate_artifacts(full, dataset)))
    tasks = [(sweep, factor, seed) for sweep in sweeps.values() for factor in FACTORS for seed in CHOOSING]
    scores = iter(measure_scores(setting, tasks))
    means = {name: {factor: fmean(next(scores) for _ in CHOOSING) for factor in FACTORS} for name in sweeps}
    show(
        "mean score by learning rate",
        ("", *(f"{factor:g} x" for factor in FACTORS)),
        [(f"{name}, lr {sweeps[name].train.lr:g}", *own.values()) for name, own in means.items()],
    )
    best = {name: min(own, key=own.__getitem__) for name, own in means.items()}
    found = measure_scores(setting, [(sweeps[name], best[name], seed) for name in sweeps for seed in REPORT])
    reported = {"full": found[: len(REPORT)], "adapters": found[len(REPORT) :]}
    gap = compare_pairs(reported["full"], reported["adapters"])
    rates = {name: sweeps[name].train.lr * best[name] for name in sweeps}
    rows = [(name, rates[name], fmean(own), stdev(own)) for name, own in reported.items()]
    show("score at the best learning rate", ("", "lr", "mean", "std"), rows)
    print(f"adapters above full fine-tuning: {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] over {gap.pairs} seeds")
    took = time_reference(sweeps["adapters"], setting)
    print(f"a step takes {took['step']:.3f} s with stored outputs; a reference would add {took['forward']:.3f} s")
    write(typed.out, {"means": means, "rates": rates, "scores": reported, "seconds": took})
    return int(gap.low > 0)


if __name__ == "__main__":
    sys.exit(main())
