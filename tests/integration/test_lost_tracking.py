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

from support.lost_servers import broken, passing, silent
from support.servers import free_port
from support.toys import config
from support.tracked import begun, client, live, record, runs
from support.waiting import until
from sweep.tracking import tracker
from sweep.tracking.backfill import backfill_sweep
from sweep.tracking.runs import RunStatus, SweepRuns
from sweep.tracking.store import TrackingError
from sweep.tracking.tracker import Tracker

FOR_EVER = 100_000
"""Seconds, more than any test may take: whoever waits that long for a server never comes back."""


def told(tmp_path: Path, status: RunStatus) -> str:
    """What a tracker says at the end of a sweep of two trials, of which one is over."""
    tracker = Tracker.start(config(tmp_path), "lost")
    live(tracker, record(0))
    tracker.on_trial_update(begun(record(1)))
    line = tracker.finish(status, [record(0), begun(record(1))])
    assert (tracker.run_id, tracker.run_id_of(record(0))) == ("", "")
    assert "\n" not in line
    return line


def patient(monkeypatch: pytest.MonkeyPatch, port: int, **seconds: float) -> None:
    """Log to a port with these seconds of patience; everything else that waits for the server waits for ever."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(FOR_EVER))
    for name in ("FINISH_TIMEOUT_S", "INTERRUPT_TIMEOUT_S"):
        monkeypatch.setattr(tracker, name, seconds.get(name, FOR_EVER))


@pytest.mark.parametrize(("status", "patience"), [("FINISHED", "FINISH_TIMEOUT_S"), ("KILLED", "INTERRUPT_TIMEOUT_S")])
def test_a_silent_server_costs_the_end_its_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: RunStatus, patience: str
) -> None:
    """It takes connections and never answers: only the end waits for it, and not as long where a user interrupts."""
    assert tracker.INTERRUPT_TIMEOUT_S < 10  # a user who interrupts was promised an end within ten seconds
    port = free_port()
    patient(monkeypatch, port, **{patience: 1.0})
    with silent(port):
        line = told(tmp_path, status)
    assert line == f"MLflow at http://***@127.0.0.1:{port} lacks 1 of 1 attempts: no answer within 1 s"


@pytest.mark.parametrize("server", [broken, None])
def test_a_server_of_no_use_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Callable[[int], AbstractContextManager[None]] | None
) -> None:
    """It answers 500, or nobody listens: the line at the end says what is missing, and no password."""
    port = free_port()
    patient(monkeypatch, port)
    if server is None:
        line = told(tmp_path, "FINISHED")
        with pytest.raises(TrackingError, match=r"MLflow at http://\*\*\*@127\.0\.0\.1") as refused:
            backfill_sweep(config(tmp_path), "lost", "FINISHED", [record(0)])
        assert "secret" not in str(refused.value)
    else:
        with server(port):
            line = told(tmp_path, "FINISHED")
    assert line.startswith(f"MLflow at http://***@127.0.0.1:{port} lacks 1 of 1 attempts: ")
    assert "secret" not in line


def test_a_server_that_dies_and_comes_back(tmp_path: Path, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trial 0 is logged live, trial 1 finds the server gone; when it is back, filling in adds just that one."""
    port, sweep = free_port(), config(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "dies and comes back")
    with passing(port, mlflow_server):
        tracker = Tracker.start(sweep, "server")
        live(tracker, record(0))
        until(lambda: not tracker._runs.find_missing([record(0)]))
    live(tracker, record(1))
    records = [record(0), record(1)]
    assert f"MLflow at http://127.0.0.1:{port} lacks 1 of 2 attempts" in tracker.finish("FINISHED", records)
    with passing(port, mlflow_server) as uri:
        assert backfill_sweep(sweep, "server", "FINISHED", records, tracker.run_id)[0] == 1
        (parent,), nested = runs(MlflowClient(tracking_uri=uri), "dies and comes back")
    assert (parent.info.status, [run.info.status for run in nested]) == ("FINISHED", ["FINISHED", "FINISHED"])


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


def test_a_lost_answer_makes_no_second_run(mlflow_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the parent and of a trial: what is tried again finds what was made."""
    monkeypatch.setattr("sweep.tracking.store.MlflowClient", Forgetful)
    monkeypatch.setattr(Forgetful, "lost", 0)
    own = SweepRuns(config(mlflow_here), "lost")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            own.log_attempt(begun(record(0)))
    own.log_attempt(record(0))
    own.finish("FINISHED", [record(0)])
    (parent,), nested = runs(client(mlflow_here))
    assert (parent.info.status, [run.info.status for run in nested]) == ("FINISHED", ["FINISHED"])


def test_every_attempt_has_a_run(mlflow_here: Path) -> None:
    """A trial that failed and was begun again: both tries are filled in, each once however often."""
    first = replace(record(0), state="failed", metrics={}, reason="its process died")
    attempts = [first, replace(record(0), started=first.started + 60, ended=first.ended + 60)]
    for _ in range(2):
        own = SweepRuns(config(mlflow_here), "again", "")
        own.finish("FINISHED", attempts)
    _, nested = runs(client(mlflow_here))
    assert sorted(run.info.status for run in nested) == ["FAILED", "FINISHED"]


def test_no_run_ends_before_it_began(mlflow_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was an hour ahead when the sweep began, and is right when it goes on and ends."""
    with monkeypatch.context() as ahead:
        ahead.setattr("sweep.tracking.runs.now", lambda: time.time() + 3600)
        first = SweepRuns(config(mlflow_here), "early")
        first.log_attempt(replace(begun(record(0)), started=time.time() + 3600))
    again = SweepRuns(config(mlflow_here), "early", first.run_id)
    again.finish("KILLED", [])
    (parent,), nested = runs(client(mlflow_here))
    assert [run.info.status for run in (parent, *nested)] == ["KILLED", "KILLED"]
    assert all(run.info.end_time >= run.info.start_time for run in (parent, *nested))
