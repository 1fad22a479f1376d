"""Whether a sweep was worth it: its best setting against its median one and the paper's, on fresh seeds.

python tests/timings/worth_searching.py NAME [storage=DIR]

Prints the share of trials that had to be mixed back, and the paired differences of the score with their standard
errors (all on seeds 1, 2, 3 of the sweep's own configuration); it writes nothing.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch

from eval.definitions import DEFINITIONS
from sweep.config import stored
from sweep.plan import sweep_plan
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Setting, TrialRecord
from sweep.results.statistics import compare_pairs
from sweep.results.sweep_records import SweepRecords
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.runner import unlearn

SEEDS = (1, 2, 3)


def score(wanted: SweepPlan, task: tuple[Setting, int]) -> float:
    """The score of one trial on one thread, as a worker of the default cluster has it."""
    torch.set_num_threads(1)
    setting, seed = task
    record = TrialRecord(phase="search", index=0, setting=setting, seed=seed, state="running")
    *_, outcome = unlearn(wanted.config, wanted.artifacts, record)
    assert isinstance(outcome, TrialOutcome)
    return outcome.metrics["score"]


def main() -> None:
    """Print the table."""
    name, *words = sys.argv[1:]
    wanted = sweep_plan.plan_stored_sweep(stored.parse_storage(words, "this command"), name)
    with wanted.open_study() as ledger:
        trials = SweepRecords(name=name, config=wanted.config, records=ledger.list_records()).ranking
    mixed = sum(trial.metrics["mix"] < 1 for trial in trials)
    print(f"{mixed} of {len(trials)} trials were mixed back; score: {DEFINITIONS['score']}")
    settings = {"best": trials[0].setting, "median": trials[len(trials) // 2].setting}
    if wanted.paper is not None:
        settings["paper"] = wanted.paper
    tasks = [(setting, seed) for setting in settings.values() for seed in SEEDS]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(partial(score, wanted), tasks))
    scores = {label: found[i * len(SEEDS) : (i + 1) * len(SEEDS)] for i, label in enumerate(settings)}
    for label, own in scores.items():
        gap = compare_pairs(scores["best"], own)
        ratio = (
            "" if label == "best" else f"  above the best {gap.mean:.3f}, {gap.mean / gap.error:.1f} standard errors"
        )
        print(f"{label:7} {settings[label]}  {', '.join(f'{value:.3f}' for value in own)}{ratio}")


if __name__ == "__main__":
    main()
