"""A tracking server that fails, as a sweep's tracker sees it: no call raises or waits, and nothing is logged twice."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from faults.tracking import SPARE, broken, silent
from support.servers import free_port
from support.toys import config
from support.tracked import begun, live, record, runs
from sweep.tracking import tracker as tracking
from sweep.tracking.runs import Runs
from sweep.tracking.tracker import Tracker


@pytest.mark.parametrize("server", [silent, broken])
def test_a_server_of_no_use_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Callable[[int], AbstractContextManager[None]]
) -> None:
    """It takes connections and never answers, or answers 500: the end waits for it, no longer than it may."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(tracking, "PATIENCE", 15.0)
    with server(port):
        tracker, began = Tracker.start(config(tmp_path), "useless"), time.monotonic()
        live(tracker, record(0))
        told = time.monotonic()
        line = tracker.finish("FINISHED", [record(0), begun(record(1))])
        ended = time.monotonic()
    assert told - began < 5
    assert ended - told < 15 + SPARE
    assert line.startswith(f"MLflow at http://127.0.0.1:{port} lacks 1 of 1 attempts: ")
    assert "\n" not in line


class Forgetful(MlflowClient):
    """A client of whose created runs the first two are made, but their answers are lost."""

    lost = 0

    def create_run(self, *args: Any, **kwargs: Any) -> Run:
        """Make the run, and perhaps say nothing of it."""
        run = super().create_run(*args, **kwargs)
        Forgetful.lost += 1
        if Forgetful.lost <= 2:
            raise ConnectionError("the answer was lost")
        return run


def test_a_lost_answer_makes_no_second_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the parent and of a trial: what is tried again finds what was made."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr("sweep.tracking.store.MlflowClient", Forgetful)
    Forgetful.lost = 0
    own = Runs(config(tmp_path), "lost")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            own.log(begun(record(0)))
    own.log(record(0))
    own.finish("FINISHED", [record(0)])
    (parent,), nested = runs(MlflowClient(tracking_uri=store))
    assert (parent.info.status, [run.info.status for run in nested]) == ("FINISHED", ["FINISHED"])


def test_every_attempt_has_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that failed and was begun again: both tries are filled in, each once however often."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    first = replace(record(0), state="failed", metrics={}, reason="its process died")
    attempts = [first, replace(record(0), started=first.started + 60, ended=first.ended + 60)]
    for _ in range(2):
        own = Runs(config(tmp_path), "again", "")
        own.finish("FINISHED", attempts)
    _, nested = runs(MlflowClient(tracking_uri=store))
    assert sorted(run.info.status for run in nested) == ["FAILED", "FINISHED"]


def test_no_run_ends_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was an hour ahead when the sweep began, and is right when it goes on and ends."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with monkeypatch.context() as ahead:
        ahead.setattr("sweep.tracking.runs.now", lambda: time.time() + 3600)
        first = Runs(config(tmp_path), "early")
        first.log(replace(begun(record(0)), started=time.time() + 3600))
    again = Runs(config(tmp_path), "early", first.run_id)
    again.finish("KILLED", [])
    (parent,), nested = runs(MlflowClient(tracking_uri=store))
    assert [run.info.status for run in (parent, *nested)] == ["KILLED", "KILLED"]
    assert all(run.info.end_time >= run.info.start_time for run in (parent, *nested))
