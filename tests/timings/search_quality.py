"""How near to the best setting a search of 24 trials comes, on a table of every setting of a 10 × 10 grid.

python tests/timings/search_quality.py         # 5 minutes
python tests/timings/search_quality.py grid    # runs the trials that the table lacks, 300 in all: 15 minutes on 2 cores

The table, search_quality.csv beside this file, holds the score of wtnpo on the embedded default by α and β, on 3 seeds.
Searches run on it as they run on workers (agenda, ledger, sampler, the paper's setting first), 50 of them with seeds of
their own. Between the cells the table is linear in α and in log β: with the nearest cell's score instead, what a
sampler asks would fall on plateaus, where it could learn nothing, and would meet the best cell by luck alone.

Regret is how far the score of the best setting found lies above the best cell, as a share of how far the median cell
does. A search on the mean of the 3 seeds is without noise; one on a single seed, as a sweep's is, is judged on the mean
all the same.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.interpolate import RegularGridInterpolator

from eval.metrics.calibrated_score import extraction_strengths
from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.plan import sweep_plan
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Setting, TrialRecord
from sweep.search import asha
from sweep.search.grid import build_grid
from sweep.search.paper import find_paper_setting
from sweep.search.queue import pending_trials
from sweep.search.study import SweepStudy
from sweep.trial.runner import unlearn

CONFIG = CONFIGS / "wtnpo.yaml"
TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("alpha", "beta", "seed", "score", "forget")
"""`forget`: forget ES after epoch `asha.FIRST_RUNG_EPOCH`, by which trials may be stopped."""
POINTS, SEEDS, SEARCHES, TRIALS = 10, (0, 1, 2), 50, 24
NEAR, NEAR_BAR, BEATS_BAR = 0.10, 0.80, 0.70
"""TPE's regret is at most 10 % in 80 % of the searches, and below random's of the same seed in 70 %."""
WAYS = {
    "random": ["search.sampler=random"],
    "grid": ["search.sampler=grid"],
    "tpe": ["search.sampler=tpe"],
    "gp": ["search.sampler=gp"],
    "tpe, asha": ["search.sampler=tpe", "search.stop=asha"],
}
OUT = Path("runs/timings/search_quality.json")


@dataclass(frozen=True, kw_only=True)
class Cells:
    """A quantity on the grid: α [A], log β [B], values [A, B]."""

    alpha: NDArray[np.float64]
    log_beta: NDArray[np.float64]
    values: NDArray[np.float64]

    def at(self, setting: Setting) -> float:
        """The value at a setting, linear between cells."""
        between = RegularGridInterpolator((self.alpha, self.log_beta), self.values, bounds_error=False, fill_value=None)
        return float(between((float(setting["alpha"]), np.log(float(setting["beta"])))))


@dataclass(frozen=True, kw_only=True)
class World:
    """What trials of a search come to: their score, and their forget ES where trials are compared."""

    score: Cells
    forget: Cells


@dataclass(frozen=True, kw_only=True)
class Found:
    """What came of one search: its best setting's regret, and the epochs that it trained."""

    regret: float
    epochs: int


def worlds() -> list[World]:
    """The table by seed, and last the mean over the seeds."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    alpha, beta = (np.array(sorted({row[key] for row in rows})) for key in ("alpha", "beta"))
    rows.sort(key=lambda row: (row["seed"], row["alpha"], row["beta"]))
    shape = (len(SEEDS), len(alpha), len(beta))
    score, forget = (np.array([row[key] for row in rows]).reshape(shape) for key in ("score", "forget"))
    cells = partial(Cells, alpha=alpha, log_beta=np.log(beta))
    pairs = [*zip(score, forget, strict=True), (score.mean(0), forget.mean(0))]
    return [World(score=cells(values=one), forget=cells(values=other)) for one, other in pairs]


def search(config: SweepConfig, world: World) -> tuple[Setting, int]:
    """The best setting that a search in the world finds, and the epochs that it trains."""
    ledger = SweepStudy(config, "table")
    for task in pending_trials(config, find_paper_setting(config), ledger):
        assert task is not None, "one worker never waits"
        ledger.close_attempt(_ended(config, world, ledger, ledger.open_attempt(task)))
    records = ledger.list_records()
    finished = [record for record in records if record.state == "finished"]
    return min(finished, key=lambda r: r.score).setting, sum(int(record.curve[-1]["epoch"]) for record in records)


def _ended(config: SweepConfig, world: World, ledger: SweepStudy, record: TrialRecord) -> TrialRecord:
    """The record of a trial that ran to its end, or until it was stopped."""
    forget = world.forget.at(record.setting)
    sides = {"forget/es": forget, "forget/es_paraphrase": forget, "retain/es": 1.0, "retain/es_paraphrase": 1.0}
    grown = replace(record, curve=[{"epoch": asha.FIRST_RUNG_EPOCH, **sides}])
    if ledger.should_prune(grown):
        return replace(grown, state="pruned")
    last = {"epoch": float(config.train.epochs)}
    return replace(grown, state="finished", curve=[last], metrics={"score": world.score.at(record.setting)})


def judged(config: SweepConfig, mean: World, job: tuple[int, World]) -> Found:
    """What a search of this seed in this world comes to, judged on the mean."""
    torch.set_num_threads(1)
    seed, world = job
    setting, epochs = search(config.model_copy(update={"seed": seed}), world)
    best = mean.score.values.min()
    return Found(regret=(mean.score.at(setting) - best) / (np.median(mean.score.values) - best), epochs=epochs)


def measured() -> Iterator[dict[str, Any]]:
    """A row for each way to search: on the mean, then on single seeds in turn."""
    *single, mean = worlds()
    common = ["seeds=0", f"search.trials={TRIALS}", "ledger='sqlite:///:memory:'"]
    configs = {way: load(CONFIG, [*words, *common]) for way, words in WAYS.items()}
    with ProcessPoolExecutor(2) as pool:
        for label, seen in {"the mean": [mean], "one seed": single}.items():
            jobs = list(zip(range(SEARCHES), cycle(seen), strict=False))
            found = {way: list(pool.map(partial(judged, config, mean), jobs)) for way, config in configs.items()}
            for way, own in found.items():
                yield {"searched on": label, "sampler": way} | _summary(own, found["random"])


def _summary(found: Sequence[Found], random: Sequence[Found]) -> dict[str, Any]:
    regrets = [one.regret for one in found]
    return {
        "regret at most 10 %": fmean(one <= NEAR for one in regrets),
        "median regret": median(regrets),
        "mean regret": fmean(regrets),
        "beats random": fmean(one.regret < other.regret for one, other in zip(found, random, strict=True)),
        "epochs": fmean(one.epochs for one in found),
        "regrets": regrets,
    }


def fill() -> None:
    """Run the trials that the table lacks; their rows are written as they come, then sorted."""
    torch.set_num_threads(1)  # as a worker of the default cluster has it: the target may be made here
    config = load(CONFIG, ["search.sampler=grid", f"search.trials={POINTS**2}"])
    cells: list[Setting] = [
        {name: float(f"{value:.6g}") for name, value in cell.items()} for cell in build_grid(config)
    ]
    rows = list(csv.reader(TABLE.open(encoding="utf-8", newline="")))[1:] if TABLE.exists() else []
    there = {tuple(map(float, row[:3])) for row in rows}
    wanted = [(cell, seed) for seed in SEEDS for cell in cells if (cell["alpha"], cell["beta"], seed) not in there]
    planned = sweep_plan.plan_new_sweep(config, "search-quality")
    for maker in planned.preparers:
        for _ in maker():
            pass
    with ProcessPoolExecutor(2) as pool, TABLE.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS] if not rows else [])
        for row in as_completed([pool.submit(trial, planned, cell, seed) for cell, seed in wanted]):
            writer.writerow(row.result())
            file.flush()
    _sort()


def trial(planned: SweepPlan, setting: Setting, seed: int) -> list[str]:
    """A row of the table: one trial on one thread."""
    torch.set_num_threads(1)
    record = TrialRecord(phase="search", index=0, setting=setting, seed=seed, state="running")
    *points, outcome = unlearn(planned.config, planned.artifacts, record)
    forget = extraction_strengths(points[asha.FIRST_RUNG_EPOCH - 1].metrics).forget
    return [f"{value:.6g}" for value in (*setting.values(), seed, outcome.metrics["score"], forget)]


def _sort() -> None:
    head, *rows = TABLE.read_text(encoding="utf-8").splitlines()
    rows.sort(key=lambda row: [float(value) for value in row.split(",")][:3])
    TABLE.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print the table, write the JSON file."""
    if sys.argv[1:] == ["grid"]:
        fill()
        return
    found = list(measured())
    shown = [key for key in found[0] if key != "regrets"]
    table = Table(*shown, title=f"{SEARCHES} searches of {TRIALS} trials; bar for tpe: {NEAR_BAR}, beats {BEATS_BAR}")
    for row in found:
        table.add_row(*(f"{row[key]:.3g}" if isinstance(row[key], float) else row[key] for key in shown))
    Console().print(table)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
