"""What the faults share: a small real sweep, the checks of a sweep that is whole after all, one table."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from support.commands import ROOT, SMALL, Command
from sweep import agenda, ledger, studies
from sweep.config import SweepConfig
from sweep.csvs import trials_csv
from sweep.record import INTERRUPTED, Phase, Record
from sweep.recovery import paper_setting
from sweep.stored import config_of
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


def start(here: Path, *argv: str, **variables: str) -> Command:
    """The command in a folder, where its storage and, unless a variable says otherwise, MLflow's database go."""
    own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    own |= {"MLFLOW_TRACKING_URI": database(here), "MLFLOW_EXPERIMENT_NAME": ""}
    return Command(here, *argv, variables=own | variables)


def database(here: Path) -> str:
    """The URI of MLflow's database in a folder."""
    return f"sqlite:///{here / 'mlflow.db'}"


def over(here: Path, name: str = NAME) -> list[Record]:
    """The attempts of a sweep that are over, as its ledger holds them; a driver may be at work."""
    return [one for own in attempts(here, name).values() for one in own if one.state != "running"]


def attempts(here: Path, name: str = NAME) -> dict[Phase, list[Record]]:
    """Every attempt at a trial of a sweep, by phase; nothing where there is no ledger."""
    if not (here / "runs" / name / studies.FILE).exists():
        return {}
    there = studies.there(config_of(here / "runs", name), name)
    return {phase: studies.attempts(phase, study) for phase, study in there.items()}


def statuses(here: Path) -> list[str]:
    """How MLflow's runs have ended, those of sweeps and of trials; none where there is no database."""
    if not (here / "mlflow.db").exists():
        return []
    with sqlite3.connect(here / "mlflow.db") as store:
        return sorted(status for (status,) in store.execute("select status from runs"))


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
    last = [one for own in found.values() for one in studies.last(own).values()]
    _check_ledger(config, every, last, failed)
    _check_kept(before, every)
    _check_files(here / "runs", name, last)
    _check_runs(MlflowClient(tracking_uri=store or database(here)), name, every)
    ledger.refuse_running(config, name)


def _check_ledger(config: SweepConfig, every: Sequence[Record], last: Sequence[Record], failed: int) -> None:
    """Each planned trial finished once, or failed for good; what was tried again is the same trial."""
    states = Counter(one.state for one in last)
    planned = agenda.planned(config, paper_setting(config))
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
