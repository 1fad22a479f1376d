"""How a sweep scales: on real Ray up to 32 workers, and by a simulation with the measured costs up to 1,024.

python tests/timings/scale.py [--out scale.json]

Trials that sleep go through all of a real sweep, as in sweep_overhead.py, each on one of 32 logical GPUs of a Ray head
of its own. The driver's costs are measured on the processor's clock: asking and telling beside studies of a growing
number of finished trials, and all else of the driver (Ray Tune, the live table, MLflow) as what the real sweeps leave,
split by least squares into what goes by the second, by the trial, and by the trial and those that are finished. The
simulation has one driver, which serves whoever comes first, and workers that wait for it after each report, as Ray
Tune's do. Run beside the real sweeps it says how far it can be believed; what it says of more workers is for trials of
ten minutes. Bytes are those of the requests to a real MLflow server.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import requests
from common import memory, parser, show, write
from ray.cluster_utils import Cluster
from scipy.optimize import nnls
from simulation import Costs, Line, Simulation
from sweep_overhead import EPOCHS, Case, configured, drawn, shares, sleep, turn

from support.plans import toy_plan
from sweep import run
from sweep.cluster import connection
from sweep.config.schema import SweepConfig
from sweep.records import TrialRecord
from sweep.search.study import SweepStudy
from sweep.signals import InterruptHandler

REAL = tuple(Case(trials=3 * workers, seconds=4, workers=workers) for workers in (1, 2, 4, 8, 16, 32))
LONG = Case(trials=200, seconds=1, workers=4)
"""The sweep in which it shows what grows with the trials that are finished."""
SIMULATED = tuple(Case(trials=8 * workers, seconds=600, workers=workers) for workers in (64, 256, 1024))
COUNTED = Case(trials=8, seconds=1, workers=2)
"""The sweep whose bytes are counted: they depend on the number of its trials alone."""
FINISHED, ASKED = (100, 500, 1000), 10
"""Trials that are over when asking and telling is timed, and how many are asked for and told then."""
PORT = 5123


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The driver when a trial is over: the clock, the processor's clock, its memory in MB, trials finished by then."""

    clock: float
    processor: float
    memory: float
    finished: int


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Opens ledgers that mark each trial's end."""

    marks: list[Mark] = field(default_factory=list)

    @contextmanager
    def created(self, config: SweepConfig, name: str) -> Iterator[SweepStudy]:
        """A ledger in a new folder."""
        (config.storage / name).mkdir()
        yield Marked(config, name, self)

    def mark(self) -> None:
        """A trial is over, or the first is about to begin."""
        now = Mark(
            clock=time.monotonic(),
            processor=time.process_time(),
            memory=memory("VmRSS"),
            finished=len(self.marks),
        )
        self.marks.append(now)


class Marked(SweepStudy):
    """A ledger whose meter hears of each trial's end."""

    def __init__(self, config: SweepConfig, name: str, meter: Meter) -> None:
        """Open it, and mark that no trial is over."""
        super().__init__(config, name)
        self._meter = meter
        meter.mark()

    def end(self, record: TrialRecord) -> TrialRecord:
        """Close the attempt."""
        ended = super().close_attempt(record)
        self._meter.mark()
        return ended


@contextmanager
def head(gpus: int) -> Iterator[str]:
    """The address of a Ray head with so many logical GPUs and cores."""
    node = {
        "num_gpus": gpus,
        "num_cpus": gpus,
        "include_dashboard": False,
        "object_store_memory": connection.OBJECT_STORE_BYTES,
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def slept(case: Case, address: str, tracking: str = "") -> tuple[dict[str, Any], list[Mark]]:
    """Run a sweep of sleeping trials; gives what their times say, and the driver's marks."""
    with TemporaryDirectory(prefix="timings-") as name:
        os.environ["MLFLOW_TRACKING_URI"] = tracking or f"sqlite:///{name}/mlflow.db"
        words = (f"search.trials={case.trials}", f"cluster.address={address}", "cluster.gpus=1")
        config = configured(Path(name), *words, f"cluster.concurrency={case.workers}")
        meter = Meter()
        held, trial = partial(meter.created, config, "sleep"), partial(sleep, case.seconds)
        plan = toy_plan(config, "sleep", trial, held)
        with drawn(), InterruptHandler(str) as interrupts:
            (ran,) = run.run_sweeps([plan], [], interrupts)
    return shares(case, ran.records, ran.trials_s), meter.marks


@contextmanager
def server(folder: str) -> Iterator[str]:
    """The address of an MLflow server."""
    address = f"http://127.0.0.1:{PORT}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers=1", f"--port={PORT}"]
    stores = [f"--backend-store-uri=sqlite:///{folder}/mlflow.db", f"--artifacts-destination={folder}/artifacts"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, *stores], start_new_session=True, stdout=quiet, stderr=quiet)  # noqa: S603
    try:
        while True:
            try:
                urlopen(f"{address}/health").close()  # noqa: S310 (the line above has the address)
                break
            except URLError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def bytes_of_a_trial(address: str) -> float:
    """Bytes of requests to MLflow, for each trial; the parent's own share is in it."""
    sizes: list[int] = []
    send = requests.Session.send

    def counted(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        heads = sum(len(key) + len(value) + 4 for key, value in request.headers.items())
        sizes.append(int(request.headers.get("Content-Length", 0)) + len(request.url or "") + heads)
        return send(self, request, **options)

    with TemporaryDirectory(prefix="timings-") as folder, server(folder) as tracking:
        requests.Session.send = counted  # type: ignore[method-assign]
        slept(COUNTED, address, tracking)
        requests.Session.send = send  # type: ignore[method-assign]
    return sum(sizes) / COUNTED.trials


def asked_and_told() -> tuple[Line, Line]:
    """Seconds of the processor that asking and telling take, by the number of finished trials."""
    with TemporaryDirectory(prefix="timings-") as name:
        (Path(name) / "sleep").mkdir()
        quick, slow = (SweepStudy(configured(Path(name), *words), "sleep") for words in (["search.sampler=random"], []))
        finished, times = 0, []
        for count in FINISHED:
            while finished < count:
                turn(quick, finished)
                finished += 1
            times.append(np.median([turn(slow, finished + i, time.process_time) for i in range(ASKED)], axis=0))
            finished += ASKED
    asks, tells = zip(*times, strict=True)
    return line(FINISHED, asks), line(FINISHED, tells)


def line(finished: Sequence[int], costs: Sequence[float]) -> Line:
    """The straight line through the costs, never falling and never below nothing."""
    matrix = np.column_stack([np.ones(len(finished)), finished])
    (at_none, per_finished), _ = nnls(matrix, np.array(costs))
    return Line(at_none=at_none, per_finished=per_finished)


def rest(runs: Sequence[Sequence[Mark]], ask: Line, tell: Line) -> tuple[float, Line]:
    """The driver's idle share, and the seconds of a report, which make up what the marks leave beside ask and tell."""
    steps = np.array([step for marks in runs for step in quarters(marks)])
    (idle, own, growth), _ = nnls(steps[:, :3], steps[:, 3])
    reports = EPOCHS + 1
    return idle, Line(
        at_none=max(own - ask.at_none - tell.at_none, 0) / reports,
        per_finished=max(growth - ask.per_finished - tell.per_finished, 0) / reports,
    )


def quarters(marks: Sequence[Mark]) -> Iterator[list[float]]:
    """Of each quarter of a sweep: its seconds, its trials, those finished before each of them, the processor's time."""
    ends = [marks[place * (len(marks) - 1) // 4] for place in range(5)]
    for a, b in pairwise(ends):
        before = (b.finished**2 - a.finished**2) / 2
        yield [b.clock - a.clock, b.finished - a.finished, before, b.processor - a.processor]


def measured(address: str) -> tuple[list[dict[str, Any]], Costs]:
    """What the real sweeps were like, and the costs that follow from them."""
    ask, tell = asked_and_told()
    runs = [reported(case, address) for case in (LONG, *REAL)]
    idle, report = rest([marks for _, marks in runs], ask, tell)
    (_, long), (alone, _) = runs[:2]
    slope, start = np.polyfit([mark.finished for mark in long], [mark.memory for mark in long], 1)
    costs = Costs(
        idle=idle,
        ask=ask,
        tell=tell,
        report=report,
        launch=max(alone["median gap, s"] - ask(0) - tell(0) - report(0), 0),
        memory=Line(at_none=float(start), per_finished=float(slope)),
        bytes_sent=bytes_of_a_trial(address),
    )
    return [real_row(found, marks) for found, marks in runs[1:]], costs


def reported(case: Case, address: str) -> tuple[dict[str, Any], list[Mark]]:
    """What `slept` gives, told at once: the sweeps take minutes."""
    found, marks = slept(case, address)
    print(", ".join(f"{key}: {value:.4g}" for key, value in real_row(found, marks).items()), flush=True)
    return found, marks


def real_row(found: dict[str, Any], marks: Sequence[Mark]) -> dict[str, Any]:
    """What a real sweep is compared by."""
    first, last = marks[0], marks[-1]
    spent, took = last.processor - first.processor, last.clock - first.clock
    return {
        "workers": found["workers"],
        "trials": found["trials"],
        "sleep of the workers' time": found["sleep of the workers' time"],
        "driver's processor, %": 100 * spent / took,
        "driver's seconds per trial": spent / found["trials"],
    }


def compared(real: Sequence[dict[str, Any]], costs: Costs) -> list[dict[str, Any]]:
    """The real sweeps beside their simulations."""
    keys = ("sleep of the workers' time", "driver's seconds per trial")
    simulated = [Simulation(case, costs).run() for case in REAL]
    return [row | {f"simulated: {key}": other[key] for key in keys} for row, other in zip(real, simulated, strict=True)]


def columns(rows: Sequence[dict[str, Any]]) -> list[list[object]]:
    """Rows by workers become columns, with their keys in front."""
    return [[key, *(row[key] for row in rows)] for key in rows[0]]


def main() -> None:
    """Measure, simulate, print the tables, write the JSON file."""
    asked = parser(__doc__, "scale").parse_args()
    with head(max(case.workers for case in REAL)) as address:
        real, costs = measured(address)
    beside = compared(real, costs)
    far = [Simulation(case, costs).run() for case in SIMULATED]
    for title, rows in (("real sweeps, trials of 4 s", beside), ("simulated, trials of 10 minutes", far)):
        show(title, ["", *(["" for _ in rows])], columns(rows))
    write(asked.out, {"real": beside, "simulated": far, "costs": asdict(costs)})


if __name__ == "__main__":
    main()
