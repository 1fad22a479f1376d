"""Shared parts of the faults: a small sweep, the checks that a sweep is whole in the end, and the table.

The commands inject a fault into real sweeps, the tests into short toy sweeps: the function that starts the sweep, and
the moment of the fault, are arguments.
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from mlflow import MlflowClient
from mlflow.entities import Run

from support.commands import ROOT, SMALL, Command, ToyCommand
from support.composing import load_shipped
from support.waiting import until
from support.workers import held
from sweep.config.schema import SweepConfig
from sweep.config.stored import load_stored_config
from sweep.records import INTERRUPTED_REASON, Phase, TrialRecord
from sweep.results.csv_tables import format_repeats_csv, format_trials_csv
from sweep.results.sweep_records import SweepRecords
from sweep.search import queue, storage, study
from sweep.search.paper import find_paper_setting
from sweep.tracking.labels import format_attempt_key
from sweep.trial.runner import run_trial

NAME = "faults"
WORDS = (*SMALL, "search.race=2", "cluster.concurrency=1")
SWEEP = (str(ROOT / "configs" / "wtnpo.yaml"), *WORDS, "--name", NAME)
"""Arguments of a sweep on one worker: three trials, a race of two runs, winner and paper's setting on one seed."""
RESUME = ("--resume", NAME)
"""Arguments that resume it."""
STATUS = {"finished": "FINISHED", "failed": "FAILED", "pruned": "KILLED"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a fault.

    Attributes:
        fault: the fault.
        times: number of times that it was injected.
        held: checks that held each time.
        lost: data that were lost.
    """

    fault: str
    times: int
    held: str
    lost: str


def show(outcomes: Iterable[Outcome]) -> None:
    """Print the table in Markdown, each line as soon as its fault is over."""
    print("| fault | times | held | lost |\n|---|---|---|---|")
    for one in outcomes:
        print(f"| {one.fault} | {one.times} | {one.held} | {one.lost} |", flush=True)


class Start(Protocol):
    """Function that starts the command in a folder, which holds the storage and by default MLflow's database."""

    def __call__(self, here: Path, *argv: str, **variables: str) -> Command:
        """Start the command with these arguments, and more variables in its environment."""


Moment: TypeAlias = Callable[[Command], AbstractContextManager[None]]
"""Context manager that waits for the moment of a fault, which comes in its block; a held command goes on after it."""


def start(here: Path, *argv: str, **variables: str) -> Command:
    """Start a real sweep."""
    own = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": database(here), "MLFLOW_EXPERIMENT_NAME": ""}
    return Command(here, *argv, variables=own | variables)


@dataclass(frozen=True)
class Toys:
    """Function that starts sweeps of toy trials.

    Attributes:
        empty: an MLflow database without runs; making one takes seconds.
    """

    empty: Path

    def __call__(self, here: Path, *argv: str, **variables: str) -> Command:
        """Start the command; toys leave their files in the folder, unless `TOY_FOLDER` says otherwise."""
        if not (here / "mlflow.db").exists():
            shutil.copy(self.empty, here / "mlflow.db")
        own = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TOY_FOLDER": str(here)}
        own |= {"MLFLOW_TRACKING_URI": database(here), "MLFLOW_EXPERIMENT_NAME": ""}
        return ToyCommand(here, *argv, variables=own | variables)


@dataclass(frozen=True)
class Held:
    """Starter of toy sweeps that wait in a search trial until the block of their moment ends.

    Attributes:
        toys: starts such sweeps.
        index: index of the trial that waits.
        name: folder in which the trials leave their files; after `let_go` no trial of this folder waits again.
    """

    toys: Toys
    index: int
    name: str = "held"

    def start(self, here: Path, *argv: str, **variables: str) -> Command:
        """Start the command."""
        self._folder(here).mkdir(exist_ok=True)
        return self.toys(here, *argv, TOY_FOLDER=str(self._folder(here)), TOY_HOLD=str(self.index), **variables)

    @contextmanager
    def moment(self, command: Command) -> Iterator[None]:
        """Wait until the trial is running, and all earlier ones are over."""
        folder = self._folder(command.here)
        until(lambda: command.over or (folder / f"began-search-{self.index}").exists())
        assert not command.over, command.said()
        try:
            yield
        finally:
            self.let_go(command.here)

    def let_go(self, here: Path) -> None:
        """Let the waiting commands of a folder go on."""
        (self._folder(here) / "go").touch()

    def _folder(self, here: Path) -> Path:
        return here / self.name


def printed(mark: str, delay: float = 0.0) -> Moment:
    """Return the moment `delay` seconds after the command has printed the mark."""

    @contextmanager
    def moment(command: Command) -> Iterator[None]:
        command.wait_for(mark)
        time.sleep(delay)
        yield

    return moment


def undisturbed(here: Path) -> bytes:
    """Run the toy sweep in this process, one trial after the other and without Ray, and return its `trials`."""
    config = load_shipped("wtnpo", *WORDS, f"storage={here}")
    (here / NAME).mkdir()
    ledger = study.SweepStudy(config, NAME)
    for task in queue.pending_trials(config, find_paper_setting(config), ledger):
        assert task is not None, "one worker never waits"
        *_, ended = run_trial(partial(held, None, None), ledger.open_attempt(task))
        ledger.close_attempt(ended)
    sweep = SweepRecords(name=NAME, config=config, records=ledger.list_records())
    race, finalists = format_repeats_csv(sweep, "race"), format_repeats_csv(sweep, "finalist")
    return f"{format_trials_csv(sweep.records)}{race}{finalists}".encode()


def database(here: Path) -> str:
    """Return the URI of MLflow's database in a folder."""
    return f"sqlite:///{here / 'mlflow.db'}"


def over(here: Path, name: str = NAME) -> list[TrialRecord]:
    """Return the ended attempts of a sweep from its study; a driver may be running."""
    return [one for own in attempts(here, name).values() for one in own if one.state != "running"]


def attempts(here: Path, name: str = NAME) -> dict[Phase, list[TrialRecord]]:
    """Return every attempt at a trial of a sweep, by phase; nothing if there is no study."""
    if not (here / "runs" / name / storage.DATABASE_FILE).exists():
        return {}
    there = storage.load_existing_studies(load_stored_config(here / "runs", name), name)
    return {phase: storage.read_attempts(phase, study) for phase, study in there.items()}


def trials(here: Path, name: str = NAME) -> bytes:
    """Return a sweep's trials.csv, race.csv and finalists.csv."""
    return b"".join((here / "runs" / name / file).read_bytes() for file in ("trials.csv", "race.csv", "finalists.csv"))


def whole(
    here: Path, name: str = NAME, *, before: Sequence[TrialRecord] = (), failed: int = 0, store: str | None = None
) -> None:
    """Check that a sweep is complete, with nothing lost and nothing twice; raise AssertionError otherwise.

    Args:
        here: the folder in which its command ran.
        name: name of the sweep.
        before: the attempts that were `over` at the fault.
        failed: number of trials that failed for good.
        store: MLflow's tracking URI; None: the `database` in the folder.
    """
    config, found = load_stored_config(here / "runs", name), attempts(here, name)
    every = [one for own in found.values() for one in own]
    last = [one for own in found.values() for one in storage.select_last_attempts(own).values()]
    _check_ledger(config, every, last, failed)
    _check_kept(before, every)
    _check_files(here / "runs", name, last)
    _check_runs(MlflowClient(tracking_uri=store or database(here)), name, every)
    study.refuse_running_sweep(config, name)


def _check_ledger(config: SweepConfig, every: Sequence[TrialRecord], last: Sequence[TrialRecord], failed: int) -> None:
    """Check that each planned trial finished once, or failed for good, and that all its attempts are the same trial."""
    states = Counter(one.state for one in last)
    planned = queue.count_planned_trials(config, find_paper_setting(config))
    assert planned == len(last) == states["finished"] + states["pruned"] + failed, states
    finished = Counter((one.phase, one.index) for one in every if one.state in ("finished", "pruned"))
    assert set(finished.values()) == {1}, finished
    ends = {(one.phase, one.index): one for one in last}
    changed = [one for one in every if (one.setting, one.seed) != _trial(ends[one.phase, one.index])]
    assert not changed, changed


def _trial(record: TrialRecord) -> tuple[object, int]:
    return record.setting, record.seed


def _check_kept(before: Sequence[TrialRecord], every: Sequence[TrialRecord]) -> None:
    """Check that the attempts that were over at the fault are unchanged."""
    lost = [one for one in before if one not in every]
    assert not lost, lost


def _check_files(storage: Path, name: str, last: Sequence[TrialRecord]) -> None:
    """Check that the files agree with the study, and that no unfinished file lies beside them."""
    folder = storage / name
    search = Counter(one.state for one in last if one.phase == "search")
    counts = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["trials"]
    assert {key: counts[key] for key in ("finished", "failed", "pruned")} == {
        key: search[key] for key in ("finished", "failed", "pruned")
    }, counts
    assert (folder / "trials.csv").read_bytes() == format_trials_csv(last).encode()
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    beside = [*storage.glob(".artifacts/*.part"), *storage.glob(".artifacts/*.checkpoint"), *storage.glob(".*.new")]
    beside += folder.glob(".checkpoints")
    assert not beside, beside


def _check_runs(client: MlflowClient, name: str, every: Sequence[TrialRecord]) -> None:
    """Check one parent, one run with the right status for each attempt, and the same run ids in study and MLflow."""
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()], max_results=1000)
    parents = [run for run in runs if run.data.tags.get("sweep") == name]
    assert [run.info.status for run in parents] == ["FINISHED"], parents
    nested = _by_attempt(run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id)
    known = {format_attempt_key(one): one for one in every}
    assert nested.keys() == known.keys(), nested.keys() ^ known.keys()
    for key, run in nested.items():
        record = known[key]
        assert record.run_id in ("", run.info.run_id), (record, run)
        assert run.info.status in _statuses(record), (record, run)


def _by_attempt(runs: Iterable[Run]) -> Mapping[str, Run]:
    """Key the runs by their attempt, and check that none is logged twice."""
    keyed = [(str(run.data.tags["attempt"]), run) for run in runs]
    assert len(dict(keyed)) == len(keyed), keyed
    return dict(keyed)


def _statuses(record: TrialRecord) -> set[str]:
    """Return the statuses that the run of an attempt may have."""
    return {"KILLED"} if record.reason == INTERRUPTED_REASON else {STATUS[record.state]}
