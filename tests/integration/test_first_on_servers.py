"""Many sweeps that are the first on a server at the same moment: a fresh PostgreSQL database, a new experiment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import optuna
import psycopg
import pytest
from mlflow import MlflowClient
from psycopg.sql import SQL, Identifier

from support import toys
from support.tracked import live, record, runs
from sweep.errors import ConfigError
from sweep.search import storage
from sweep.services.databases import is_same_database
from sweep.tracking.tracker import Tracker

MANY = 8


def at_once(one: Callable[[int], str]) -> list[str]:
    """What the function gives for each number, all called at the same moment."""
    barrier = Barrier(MANY)

    def waited(number: int) -> str:
        barrier.wait()
        return one(number)

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(waited, range(MANY)))


@pytest.mark.parametrize("database", ["first", "second", "third"])
def test_in_a_database(postgres: str, tmp_path: Path, database: str) -> None:
    """One makes the tables, and all have their studies."""
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(database)))
    config = toys.config(tmp_path, ledger=f"{postgres}/{database}")
    names = at_once(lambda number: storage.open_studies(config, f"sweep-{number}")["search"].study_name)
    assert names == [f"sweep-{number}" for number in range(MANY)]
    assert {*names} < {*optuna.get_all_study_names(f"{postgres}/{database}")}


def test_in_the_database_of_an_mlflow_server(postgres: str, mlflow_server: str, tmp_path: Path) -> None:
    """Its tables are there: the study is refused, and makes none."""

    def count_tables() -> int:
        with psycopg.connect(f"{postgres}/mlflow") as connection:
            return int(connection.execute("select count(*) from pg_tables").fetchall()[0][0])

    before = count_tables()
    with pytest.raises(ConfigError, match=r"/mlflow': MLflow's database is there; give the study one of its own\.$"):
        storage.open_studies(toys.config(tmp_path, ledger=f"{postgres}/mlflow"), "sweep")
    assert count_tables() == before
    assert is_same_database(f"{postgres}/mlflow", f"{postgres.replace('://sweep@', '+psycopg2://other@')}/mlflow")


def test_in_an_experiment(mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One makes it, and at their end all have their parents and trials in it, finished."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    config = toys.config(tmp_path, experiment="at-once")

    def track(number: int) -> str:
        tracker = Tracker.start(config, f"sweep-{number}")
        live(tracker, record(number))
        return tracker.finish("FINISHED", [record(number)])

    assert at_once(track) == [""] * MANY
    parents, nested = runs(MlflowClient(tracking_uri=mlflow_server), "at-once")
    assert {run.data.tags["sweep"] for run in parents} == {f"sweep-{number}" for number in range(MANY)}
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {run.info.run_id for run in parents}
    assert [run.info.status for run in parents + nested] == ["FINISHED"] * 2 * MANY
