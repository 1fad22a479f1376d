"""What a sweep takes beside its trials: the gap between two trials of a worker, and asking and telling 1,000 of them.

python tests/timings/sweep_overhead.py [--small] [--out sweep_overhead.json]

Trials that sleep go through all of a real sweep: Ray, the study, TPE (asking.py times gp), MLflow in a database of its
own, the live table. 100 of them sleep for a second on 2 workers, 320 for ten seconds on 32 (which takes
some 5 GB; --small leaves it out). A worker's time is what lies between its first trial's start and its last one's end:
of it at least 90 % must be sleep, and the median gap of the first sweep at most 100 ms. A trial reports after each of
five epochs, as a real one does. The cores of this machine are shared out among the workers, for sleep needs none.
"""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from common import parser, show, write

from eval.shipped_configs import CONFIGS
from support.plans import toy_plan
from sweep import run
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.records import TrialRecord
from sweep.search.study import SweepStudy, TrialRequest, create_study
from sweep.signals import InterruptHandler
from sweep.trial.outcomes import EpochResult, TrialOutcome

SHARE, GAP = 0.90, 0.100
EPOCHS = 5
FINISHED, ASKED = 1000, 20
"""Trials that are over when asking and telling is timed, and how many are asked for and told then."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Sleeping trials: how many, how long each, on how many workers."""

    trials: int
    seconds: float
    workers: int


CASES = (Case(trials=100, seconds=1, workers=2), Case(trials=320, seconds=10, workers=32))


def sleep(seconds: float, record: TrialRecord) -> Iterator[EpochResult | TrialOutcome]:
    """Sleep through the epochs, with a report after each; the outcome says when the sleep began and ended."""
    began = time.time()
    for epoch in range(1, EPOCHS + 1):
        time.sleep(seconds / EPOCHS)
        ended = time.time()
        yield EpochResult(epoch=epoch, metrics=scores(record))
    yield TrialOutcome(metrics=scores(record) | {"began": began, "ended": ended})


def scores(record: TrialRecord) -> dict[str, float]:
    """As many numbers as a real trial has, and a score that depends on the setting."""
    score = abs(float(record.setting["alpha"]) - 2) + abs(float(record.setting["beta"]) - 3)
    names = ("forget/es", "retain/es", "forget/es_paraphrase", "retain/es_paraphrase", "loss", "early_score", "score")
    return dict.fromkeys(names, score)


def configured(storage: Path, *words: str) -> SweepConfig:
    """The sweep of configs/wtnpo.yaml with TPE, without finalists."""
    return load(CONFIGS / "wtnpo.yaml", [f"storage={storage}", "seeds=0", "search.sampler=tpe", *words])


def slept(case: Case) -> dict[str, Any]:
    """Run the sweep of a case."""
    with TemporaryDirectory(prefix="timings-") as name:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        cpus = (os.cpu_count() or 1) / case.workers
        config = configured(Path(name), f"search.trials={case.trials}", f"cluster.cpus={cpus}")
        trial = partial(sleep, case.seconds)
        held = partial(create_study, config, "sleep")
        plan = toy_plan(config, "sleep", trial, held)
        with drawn(), InterruptHandler(str) as interrupts:
            (ran,) = run.run_sweeps([plan], [], interrupts)
    return shares(case, ran.records, ran.trials_s)


@contextmanager
def drawn() -> Iterator[None]:
    """The live table is drawn as on a terminal, but is not seen."""
    os.environ["FORCE_COLOR"] = "1"
    with redirect_stdout(StringIO()):
        yield
    del os.environ["FORCE_COLOR"]


def shares(case: Case, records: Sequence[TrialRecord], took: float) -> dict[str, Any]:
    """What the records say of the workers' time."""
    unfinished = [record for record in records if record.state != "finished"]
    if unfinished:
        sys.exit(f"{len(unfinished)} of {case.trials} trials did not finish: {unfinished[0].reason}")
    spans: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        spans.setdefault(record.worker, []).append((record.metrics["began"], record.metrics["ended"]))
    ordered = [sorted(own) for own in spans.values()]
    gaps = [after[0] - before[1] for own in ordered for before, after in pairwise(own)]
    there = sum(own[-1][1] - own[0][0] for own in ordered)
    first, last = min(own[0][0] for own in ordered), max(own[-1][1] for own in ordered)
    return {
        "trials": case.trials,
        "workers": len(ordered),
        "sleep of the workers' time": case.trials * case.seconds / there,
        "at least": SHARE,
        "median gap, s": median(gaps),
        "largest gap, s": max(gaps),
        "reports of a trial, s": median(end - begin - case.seconds for own in ordered for begin, end in own),
        "ideal / first start to last end": case.trials * case.seconds / case.workers / (last - first),
        "until the last worker's first trial, s": max(own[0][0] for own in ordered) - first,
        "sweep, s": took,
    }


def asked_and_told() -> dict[str, float]:
    """Milliseconds of an ask and of a tell, with many finished trials in the study."""
    with TemporaryDirectory(prefix="timings-") as name:
        (Path(name) / "sleep").mkdir()
        quick = SweepStudy(configured(Path(name), "search.sampler=random"), "sleep")
        for index in range(FINISHED):
            turn(quick, index)
        ledger = SweepStudy(configured(Path(name)), "sleep")
        times = [turn(ledger, FINISHED + i) for i in range(ASKED)]
    return {
        "finished trials": FINISHED,
        "ask, ms": median(asked for asked, _ in times) * 1000,
        "tell, ms": median(told for _, told in times) * 1000,
    }


def turn(ledger: SweepStudy, index: int, clock: Callable[[], float] = time.perf_counter) -> tuple[float, float]:
    """Seconds, by a clock, of asking for a trial and of telling its end."""
    begin = clock()
    record = ledger.open_attempt(TrialRequest(phase="search", index=index, seed=0, setting=None))
    given = clock()
    curve = [{"epoch": epoch, **scores(record)} for epoch in range(1, EPOCHS + 1)]
    ledger.close_attempt(replace(record, state="finished", metrics=scores(record), curve=curve))
    return given - begin, clock() - given


def options() -> Namespace:
    """The command line."""
    found = parser(__doc__, "sweep_overhead")
    found.add_argument("--small", action="store_true", help="leave out the sweep on 32 workers")
    return found.parse_args()


def main() -> None:
    """Measure, print the table, write the JSON file."""
    asked = options()
    asking = asked_and_told()
    sweeps = [slept(case) for case in (CASES[:1] if asked.small else CASES)]
    heads = [f"{case.trials} × {case.seconds:g} s on {case.workers}" for case in CASES]
    rows = [[key, *(sweep[key] for sweep in sweeps)] for key in sweeps[0]]
    show("sweeps of trials that sleep", ["what", *heads[: len(sweeps)]], rows)
    print("; ".join(f"{key}: {value:.4g}" for key, value in asking.items()))
    write(asked.out, {"sweeps": sweeps, "asking": asking, "gap at most, s": GAP})


if __name__ == "__main__":
    main()
