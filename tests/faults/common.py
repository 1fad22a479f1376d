"""What the faults share: a small sweep, the checks of a sweep that is whole after all, one table.

A fault is put into real sweeps by command, and in short into sweeps of toys by the tests: who starts them, and the
moment at which it comes, are arguments.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from mlflow import MlflowClient
from mlflow.entities import Run

from support.commands import ROOT, SMALL, Command, ToyCommand
from support.waiting import until
from sweep.config.schema import SweepConfig
from sweep.config.stored import config_of
from sweep.records import INTERRUPTED, Phase, Record
from sweep.results.csv_tables import trials_csv
from sweep.search import queue, storage, study
from sweep.search.paper import paper_setting
from sweep.tracking.runs import attempt

NAME = "faults"
SWEEP = (str(ROOT / "configs" / "wtnpo.yaml"), *SMALL, "cluster.concurrency=1", "--name", NAME)
"""The words of a sweep of three trials, and three repeats, on one worker."""
RESUME = ("--resume", NAME)
"""The words that go on with it."""
STATUS = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a fault.

    Attributes:
        fault: what was done.
        times: how often.
        held: what was checked, and held each time.
        lost: what was lost.
    """

    fault: str
    times: int
    held: str
    lost: str


def show(outcomes: Iterable[Outcome]) -> None:
    """Print the table, in Markdown, a line as soon as its fault is over."""
    print("| fault | times | held | lost |\n|---|---|---|---|")
    for one in outcomes:
        print(f"| {one.fault} | {one.times} | {one.held} | {one.lost} |", flush=True)


class Start(Protocol):
    """Starts the command in a folder, where its storage and, unless a variable says otherwise, MLflow's database go."""

    def __call__(self, here: Path, *argv: str, **variables: str) -> Command:
        """The command, with these words and more variables in its environment."""


Moment: TypeAlias = Callable[[Command], AbstractContextManager[None]]
"""Waits until a fault shall come to a command; it comes in the block, at whose end the command is held no longer."""


def start(here: Path, *argv: str, **variables: str) -> Command:
    """A real sweep."""
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": database(here), "MLFLOW_EXPERIMENT_NAME": ""}
    return Command(here, *argv, variables=own | variables)


@dataclass(frozen=True)
class Toys:
    """Starts sweeps of toy trials.

    Attributes:
        empty: an MLflow database without runs; making one takes seconds.
    """

    empty: Path

    def __call__(self, here: Path, *argv: str, **variables: str) -> Command:
        """The command; toys leave their files in the folder, unless a variable says otherwise."""
        if not (here / "mlflow.db").exists():
            shutil.copy(self.empty, here / "mlflow.db")
        own = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TOY_FOLDER": str(here)}
        own |= {"MLFLOW_TRACKING_URI": database(here), "MLFLOW_EXPERIMENT_NAME": ""}
        return ToyCommand(here, *argv, variables=own | variables)


@dataclass(frozen=True)
class Held:
    """Starts sweeps of toy trials that are held in a trial of the search, until the block of their moment ends.

    Attributes:
        toys: starts such sweeps.
        index: the trial's.
        name: of the folder in which they leave their files; those that are let go on are held no more.
    """

    toys: Toys
    index: int
    name: str = "held"

    def start(self, here: Path, *argv: str, **variables: str) -> Command:
        """The command."""
        self._folder(here).mkdir(exist_ok=True)
        return self.toys(here, *argv, TOY_FOLDER=str(self._folder(here)), TOY_HOLD=str(self.index), **variables)

    @contextmanager
    def moment(self, command: Command) -> Iterator[None]:
        """The trial is under way; what came before is over."""
        folder = self._folder(command.here)
        until(lambda: command.over or (folder / f"began-search-{self.index}").exists())
        assert not command.over, command.said()
        try:
            yield
        finally:
            self.let_go(command.here)

    def let_go(self, here: Path) -> None:
        """Let the commands in a folder go on."""
        (self._folder(here) / "go").touch()

    def _folder(self, here: Path) -> Path:
        return here / self.name


def printed(mark: str, delay: float = 0.0) -> Moment:
    """So many seconds after the command has printed the mark."""

    @contextmanager
    def moment(command: Command) -> Iterator[None]:
        command.wait_for(mark)
        time.sleep(delay)
        yield

    return moment


def undisturbed(here: Path, begin: Start) -> bytes:
    """The trials.csv of a sweep to which nothing happens."""
    command = begin(here, *SWEEP)
    assert command.end() == 0, command.said()
    whole(here)
    return trials(here)


def database(here: Path) -> str:
    """The URI of MLflow's database in a folder."""
    return f"sqlite:///{here / 'mlflow.db'}"


def over(here: Path, name: str = NAME) -> list[Record]:
    """The attempts of a sweep that are over, as its ledger holds them; a driver may be at work."""
    return [one for own in attempts(here, name).values() for one in own if one.state != "running"]


def attempts(here: Path, name: str = NAME) -> dict[Phase, list[Record]]:
    """Every attempt at a trial of a sweep, by phase; nothing where there is no ledger."""
    if not (here / "runs" / name / storage.FILE).exists():
        return {}
    there = storage.there(config_of(here / "runs", name), name)
    return {phase: storage.attempts(phase, study) for phase, study in there.items()}


def trials(here: Path, name: str = NAME) -> bytes:
    """A sweep's trials.csv."""
    return (here / "runs" / name / "trials.csv").read_bytes()


def whole(
    here: Path, name: str = NAME, *, before: Sequence[Record] = (), failed: int = 0, store: str | None = None
) -> None:
    """Check that a sweep is complete, with nothing lost and nothing twice; raises AssertionError with what it found.

    Args:
        here: the folder in which its command ran.
        name: the sweep's.
        before: what was `over` at the fault.
        failed: how many trials have failed for good.
        store: MLflow's tracking URI; None: the `database` in the folder.
    """
    config, found = config_of(here / "runs", name), attempts(here, name)
    every = [one for own in found.values() for one in own]
    last = [one for own in found.values() for one in storage.last(own).values()]
    _check_ledger(config, every, last, failed)
    _check_kept(before, every)
    _check_files(here / "runs", name, last)
    _check_runs(MlflowClient(tracking_uri=store or database(here)), name, every)
    study.refuse_running(config, name)


def _check_ledger(config: SweepConfig, every: Sequence[Record], last: Sequence[Record], failed: int) -> None:
    """Each planned trial finished once, or failed for good; what was tried again is the same trial."""
    states = Counter(one.state for one in last)
    planned = queue.planned(config, paper_setting(config))
    assert planned == len(last) == states["finished"] + states["pruned"] + failed, states
    finished = Counter((one.phase, one.index) for one in every if one.state in ("finished", "pruned"))
    assert set(finished.values()) == {1}, finished
    ends = {(one.phase, one.index): one for one in last}
    changed = [one for one in every if (one.setting, one.seed) != _trial(ends[one.phase, one.index])]
    assert not changed, changed


def _trial(record: Record) -> tuple[object, int]:
    return record.setting, record.seed


def _check_kept(before: Sequence[Record], every: Sequence[Record]) -> None:
    """What was over at the fault is still there, unchanged."""
    lost = [one for one in before if one not in every]
    assert not lost, lost


def _check_files(storage: Path, name: str, last: Sequence[Record]) -> None:
    """The files hold what the ledger holds; nothing half-made lies beside them."""
    folder = storage / name
    search = Counter(one.state for one in last if one.phase == "search")
    counts = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["trials"]
    assert {key: counts[key] for key in ("finished", "failed", "pruned")} == {
        key: search[key] for key in ("finished", "failed", "pruned")
    }, counts
    assert (folder / "trials.csv").read_bytes() == trials_csv(last).encode()
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    beside = [*storage.glob(".artifacts/*.part"), *storage.glob(".*.new")]
    assert not beside, beside


def _check_runs(client: MlflowClient, name: str, every: Sequence[Record]) -> None:
    """One parent, one run for each attempt, with the right status; the ledger and MLflow know the same ids."""
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()], max_results=1000)
    parents = [run for run in runs if run.data.tags.get("sweep") == name]
    assert [run.info.status for run in parents] == ["FINISHED"], parents
    nested = _by_attempt(run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id)
    known = {attempt(one): one for one in every}
    assert nested.keys() == known.keys(), nested.keys() ^ known.keys()
    for key, run in nested.items():
        record = known[key]
        assert record.run_id in ("", run.info.run_id), (record, run)
        assert run.info.status in _statuses(record), (record, run)


def _by_attempt(runs: Iterable[Run]) -> Mapping[str, Run]:
    """Runs by the attempt that they log; none is logged twice."""
    keyed = [(str(run.data.tags["attempt"]), run) for run in runs]
    assert len(dict(keyed)) == len(keyed), keyed
    return dict(keyed)


def _statuses(record: Record) -> set[str]:
    """How an attempt's run may have ended."""
    return {"KILLED"} if record.reason == INTERRUPTED else {STATUS[record.state]}
