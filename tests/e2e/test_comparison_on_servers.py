"""Two sweeps at once against what a cluster has: an MLflow server, and one PostgreSQL for it and for the ledgers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import optuna
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from psycopg.sql import SQL, Identifier

from support import toys
from support.commands import ROOT, SMALL, Command
from support.servers import PASSWORD, free_port, mlflow, postgres
from sweep import studies

NAMES = ("wga", "npo")
TRIALS = 6
"""Three of the search, and two or three settings on one seed: npo's paper setting counts, wga's too."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """PostgreSQL with a database for MLflow and one for the ledgers."""
    with postgres() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
            connection.execute("create database mlflow")
            connection.execute("create database ledgers")
        yield url


@pytest.fixture(scope="module")
def here(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, MlflowClient]]:
    """The folder of two sweeps that ran at once, and MLflow as it is after them."""
    folder = tmp_path_factory.mktemp("cluster")
    with mlflow(f"{server}/mlflow", folder, free_port()) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        words = (*SMALL, "cluster.concurrency=1", f"ledger={server}/ledgers")
        commands = [Command(folder, str(ROOT / "configs" / f"{name}.yaml"), *words, "--name", name) for name in NAMES]
        for command in commands:
            assert command.end() == 0, command.said()
        yield folder, MlflowClient(tracking_uri=address)


def runs(client: MlflowClient) -> list[Run]:
    """All runs of the experiment."""
    (experiment,) = [found for found in client.search_experiments() if found.name == "tiny-authors"]
    return list(client.search_runs([experiment.experiment_id]))


@pytest.mark.parametrize("name", NAMES)
def test_each_sweep_has_its_runs(here: tuple[Path, MlflowClient], server: str, name: str) -> None:
    """One parent with its report and configuration; below it one run for each trial of the ledger, with its score."""
    _, client = here
    (parent,) = [run for run in runs(client) if run.data.tags.get("sweep") == name]
    nested = [run for run in runs(client) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.status for run in [parent, *nested]} == {"FINISHED"}
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"config.yaml", "report.html", "plots"} <= artifacts
    scores = {(run.data.tags["phase"], int(run.data.tags["index"])): run.data.metrics["score"] for run in nested}
    assert scores == ledger(server, name)
    assert len(scores) == TRIALS


def ledger(server: str, name: str) -> dict[tuple[str, int], float]:
    """The scores in the study, by phase and index, as Optuna itself reads them."""
    found: dict[tuple[str, int], float] = {}
    for phase, study in (("search", name), ("finalist", f"{name}/finalists")):
        for trial in optuna.load_study(study_name=study, storage=f"{server}/ledgers").trials:
            assert trial.value is not None
            found[phase, trial.user_attrs["start"]["index"]] = trial.value
    return found


@pytest.mark.parametrize("database", ["first", "second", "third"])
def test_many_may_be_the_first_in_a_database(server: str, tmp_path: Path, database: str) -> None:
    """Eight sweeps open a fresh one at the same moment; one makes the tables, and all have their studies."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(database)))
    config, barrier = toys.config(tmp_path, ledger=f"{server}/{database}"), Barrier(8)

    def open_one(number: int) -> str:
        barrier.wait()
        return studies.opened(config, f"sweep-{number}")["search"].study_name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(open_one, range(8)))
    assert names == [f"sweep-{number}" for number in range(8)]
    assert {*names} < {*optuna.get_all_study_names(f"{server}/{database}")}


def test_nothing_lies_beside_the_servers(here: tuple[Path, MlflowClient]) -> None:
    """No study and no MLflow database in the working directory; each sweep's files are there."""
    folder, _ = here
    assert not list(folder.rglob("study.db")) and not list(folder.rglob("mlflow.db"))
    for name in NAMES:
        assert json.loads((folder / "runs" / name / "summary.json").read_text())["trials"]["finished"] == 3


def test_the_password_is_nowhere(here: tuple[Path, MlflowClient]) -> None:
    """Neither in a file of the sweeps nor in what the server holds of them."""
    folder, client = here
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in str([run.to_dictionary() for run in runs(client)])
