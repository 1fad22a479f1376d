"""How near to the best setting a whole sweep comes, and how often its verdict is right, replayed on a table of trials.

python tests/timings/search_quality.py         # replays 200 sweeps of each kind, a second each on 2 cores
python tests/timings/search_quality.py grid    # runs the trials that the table lacks, 1225: half an hour on 2 cores

The table, search_quality.csv beside this file, holds the score of wtnpo on the embedded default by α and β, on a grid
of 7 × 7 over the shipped ranges and on 25 seeds. A replay is a sweep without workers: queue, study, sampler, race and
verdict are the product's, and a trial's score is the table's, linear in α and in log β between the cells. Each replay
draws the seeds of its search, race and report from 17 of the 25; the mean over the other 8 judges what it delivers.

Regret is how far the judging mean of the delivered setting lies above that of the best cell, as a share of how far the
median cell does. Noise is the root mean square over cells of the deviation between seeds, after each seed's mean is
subtracted, as a share of the same distance.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.interpolate import RegularGridInterpolator

from eval.shipped_configs import CONFIGS
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.plan import sweep_plan
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Setting, TrialRecord
from sweep.results.recovery import judge_recovery
from sweep.results.sweep_records import SweepRecords
from sweep.search.grid import build_grid
from sweep.search.paper import find_paper_setting
from sweep.search.queue import choose_search_seed, pending_trials
from sweep.search.race import list_race_seeds
from sweep.search.study import SweepStudy
from sweep.trial.outcomes import TrialOutcome
from sweep.trial.runner import unlearn

CONFIG = CONFIGS / "wtnpo.yaml"
TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("alpha", "beta", "seed", "score")
N_POINTS, N_SEEDS, N_JUDGES = 7, 25, 8
N_REPLAYS, N_VERDICTS = 200, 50
"""Replays for the regrets of each kind of sweep, and for the verdicts at each distance of the paper's setting."""
KINDS = {
    "random, same race": ["search.sampler=random"],
    "default (auto, race)": [],
    "as 0.1.0 (tpe, one seed)": ["search.sampler=tpe", "search.seeds=1", "search.race=0", "search.trials=35"],
}
"""Sweeps of 50 trials at most: 24 + 16 + 10; version 0.1.0 had 15 repeats, which chose nothing, and so 35 trials."""
DISTANCES = (0.0, 0.2, 0.4, 0.7, 1.0)
"""Distances of the paper's setting above the best cell, as regrets."""
NEAR = 0.10
OUT = Path("runs/timings/search_quality.json")


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Scores on the grid: α [A], log β [B], values [A, B]."""

    alpha: NDArray[np.float64]
    log_beta: NDArray[np.float64]
    values: NDArray[np.float64]

    def at(self, setting: Setting) -> float:
        """Return the score of a setting, linear between cells."""
        between = RegularGridInterpolator((self.alpha, self.log_beta), self.values, bounds_error=False, fill_value=None)
        return float(between((float(setting["alpha"]), np.log(float(setting["beta"])))))

    def regret(self, setting: Setting) -> float:
        """Return the setting's regret."""
        best = self.values.min()
        return float((self.at(setting) - best) / (np.median(self.values) - best))

    def find_cell(self, regret: float) -> Setting:
        """Return the cell whose regret is nearest to the given one."""
        cells: list[Setting] = [
            {"alpha": float(a), "beta": float(np.exp(b))} for a in self.alpha for b in self.log_beta
        ]
        return min(cells, key=lambda cell: abs(self.regret(cell) - regret))


@dataclass(frozen=True, kw_only=True)
class ReplayedSweep(SweepRecords):
    """A replayed sweep, whose paper's setting is given."""

    tuned: Setting | None

    @cached_property
    def paper(self) -> Setting | None:
        """The given setting."""
        return self.tuned


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a replayed sweep came to.

    Attributes:
        regret: of the delivered setting.
        oracle: of the best setting that the search tried.
        n_trials: number of trials, race and report counted.
        verdict: the verdict on the paper's setting.
        is_wrong: True where the verdict names a difference whose sign is not that of the judging means.
    """

    regret: float
    oracle: float
    n_trials: int
    verdict: str
    is_wrong: bool


def read_surfaces() -> tuple[list[Surface], Surface]:
    """Read the table: a surface for each seed that plays, and the mean of the seeds that judge."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    alpha, beta = (np.array(sorted({row[key] for row in rows})) for key in ("alpha", "beta"))
    rows.sort(key=lambda row: (row["seed"], row["alpha"], row["beta"]))
    scores = np.array([row["score"] for row in rows]).reshape(N_SEEDS, len(alpha), len(beta))
    make = partial(Surface, alpha=alpha, log_beta=np.log(beta))
    return [make(values=own) for own in scores[N_JUDGES:]], make(values=scores[:N_JUDGES].mean(0))


def measure_noise() -> float:
    """Return the noise of the table, over the seeds that play."""
    playing, _ = read_surfaces()
    scores = np.array([surface.values for surface in playing])
    rest = scores - scores.mean((1, 2), keepdims=True)
    mean = scores.mean(0)
    return float(np.sqrt(rest.var(0, ddof=1).mean()) / (np.median(mean) - mean.min()))


def replay(config: SweepConfig, playing: Sequence[Surface], judge: Surface, job: tuple[int, Setting | None]) -> Replay:
    """Replay a sweep of this seed, with this setting as the paper's (None: the paper's own)."""
    torch.set_num_threads(1)
    seed, given = job
    config = config.model_copy(update={"seed": seed})
    tuned = given or find_paper_setting(config)
    order = np.random.default_rng(seed).permutation(len(playing))
    reports = range(seed + 1, seed + 1 + config.seeds)
    searched = [choose_search_seed(config, index) for index in range(config.search.seeds)]
    used = [*searched, *list_race_seeds(config), *reports]
    worlds = dict(zip(used, (playing[i] for i in order), strict=len(used) == len(playing)))
    study = SweepStudy(config, "table")
    for request in pending_trials(config, tuned, study):
        assert request is not None, "one worker never waits"
        record = study.open_attempt(request)
        metrics = {"score": worlds[record.seed].at(record.setting)}
        study.close_attempt(replace(record, state="finished", metrics=metrics))
    sweep = ReplayedSweep(name="table", config=config, records=study.list_records(), tuned=tuned)
    recovery = judge_recovery(sweep)
    assert sweep.found is not None and recovery is not None
    gap = judge.at(recovery.tuned) - judge.at(sweep.found)
    return Replay(
        regret=judge.regret(sweep.found),
        oracle=min(judge.regret(record.setting) for record in sweep.ranking),
        n_trials=len(sweep.records),
        verdict="recovered or within noise" if recovery.verdict in ("recovered", "within noise") else recovery.verdict,
        is_wrong=(recovery.verdict == "better found" and gap < 0) or (recovery.verdict == "not recovered" and gap > 0),
    )


def measure_regrets(pool: ProcessPoolExecutor) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind of sweep."""
    playing, judge = read_surfaces()
    jobs = [(seed, None) for seed in range(N_REPLAYS)]
    found: dict[str, list[Replay]] = {}
    for kind, words in KINDS.items():
        config = load(CONFIG, [*words, "ledger='sqlite:///:memory:'"])
        found[kind] = list(pool.map(partial(replay, config, playing, judge), jobs))
        own, random = ([one.regret for one in found[name]] for name in (kind, "random, same race"))
        yield {
            "sweep": kind,
            "mean regret": fmean(own),
            "within 10 %": fmean(one <= NEAR for one in own),
            "lower than random's": fmean(one < other for one, other in zip(own, random, strict=True)),
            "mean regret of the best tried": fmean(one.oracle for one in found[kind]),
            "trials": fmean(one.n_trials for one in found[kind]),
            "regrets": own,
        }


def measure_verdicts(pool: ProcessPoolExecutor) -> Iterator[dict[str, Any]]:
    """Yield a row for each distance of the paper's setting."""
    playing, judge = read_surfaces()
    config = load(CONFIG, ["ledger='sqlite:///:memory:'"])
    for distance in DISTANCES:
        cell = judge.find_cell(distance)
        jobs = [(seed, cell) for seed in range(N_VERDICTS)]
        found = list(pool.map(partial(replay, config, playing, judge), jobs))
        shares: Mapping[str, int] = Counter(one.verdict for one in found)
        yield {
            "paper's regret": judge.regret(cell),
            "wrong": fmean(one.is_wrong for one in found),
            "alike": max(shares.values()) / len(found),
            "verdicts": ", ".join(f"{verdict} {n / len(found):.0%}" for verdict, n in sorted(shares.items())),
        }


def fill() -> None:
    """Run the trials that the table lacks; their rows are written as they come, then sorted."""
    torch.set_num_threads(1)  # as a worker of the default cluster has it: the target may be made here
    config = load(CONFIG, ["search.sampler=grid", f"search.trials={N_POINTS**2}", "eval.every=0"])
    cells: list[Setting] = [
        {name: float(f"{value:.6g}") for name, value in cell.items()} for cell in build_grid(config)
    ]
    rows = list(csv.reader(TABLE.open(encoding="utf-8", newline="")))[1:] if TABLE.exists() else []
    there = {tuple(map(float, row[:3])) for row in rows}
    runs = [(cell, seed) for seed in range(N_SEEDS) for cell in cells]
    wanted = [(cell, seed) for cell, seed in runs if (cell["alpha"], cell["beta"], seed) not in there]
    planned = sweep_plan.plan_new_sweep(config, "search-quality")
    for preparer in planned.preparers:
        for _ in preparer():
            pass
    with ProcessPoolExecutor(2) as pool, TABLE.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS] if not rows else [])
        for row in as_completed([pool.submit(run_trial, planned, cell, seed) for cell, seed in wanted]):
            writer.writerow(row.result())
            file.flush()
    _sort()


def run_trial(planned: SweepPlan, setting: Setting, seed: int) -> list[str]:
    """Return a row of the table: one trial on one thread."""
    torch.set_num_threads(1)
    record = TrialRecord(phase="search", index=0, setting=setting, seed=seed, state="running")
    *_, outcome = unlearn(planned.config, planned.artifacts, record)
    assert isinstance(outcome, TrialOutcome)
    return [f"{value:.6g}" for value in (*map(float, setting.values()), seed, outcome.metrics["score"])]


def _sort() -> None:
    head, *rows = TABLE.read_text(encoding="utf-8").splitlines()
    rows.sort(key=lambda row: [float(value) for value in row.split(",")][:3])
    TABLE.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def _show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    keys = [key for key in rows[0] if key != "regrets"]
    table = Table(*keys, title=title)
    for row in rows:
        table.add_row(*(f"{row[key]:.3f}" if isinstance(row[key], float) else str(row[key]) for key in keys))
    Console(width=150).print(table)


def main() -> None:
    """Replay, print the tables, write the JSON file."""
    if sys.argv[1:] == ["grid"]:
        fill()
        return
    noise = measure_noise()
    with ProcessPoolExecutor(2) as pool:
        regrets, verdicts = list(measure_regrets(pool)), list(measure_verdicts(pool))
    _show(f"{N_REPLAYS} sweeps of each kind; noise of the table {noise:.2f}", regrets)
    _show(f"{N_VERDICTS} default sweeps for each place of the paper's setting", verdicts)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"noise": noise, "regrets": regrets, "verdicts": verdicts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
