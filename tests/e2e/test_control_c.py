"""Ctrl-C in a real sweep, which is gone on with; toy sweeps have all other signals (test_interrupted_sweeps.py).

Meanwhile a bit of the target's weights is another: what the remaining trial gets is made again.
"""

import json
import signal
from pathlib import Path

import pytest

from faults.artifact import flipped
from support.commands import ROOT, SMALL, Command
from support.own import held
from support.stores import statuses
from support.waiting import until
from sweep.prepare.artifacts import is_intact as sound


def test_a_sweep_ends_cleanly_and_goes_on(mlflow_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 130, how to go on, MLflow's runs KILLED, no process left; the resumed sweep is complete.

    It finds the damage, as a trial would (test_trial.py), makes the target again, and nothing else.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    small = (*SMALL, "search.trials=2", "seeds=0", "cluster.concurrency=1")
    command = Command(mlflow_here, held(mlflow_here), *small, "--name", "cut")
    command.wait_for("search ")
    until(lambda: command.over or len(statuses(mlflow_here)) == 3)  # MLflow has the other trial too
    command.signal(signal.SIGINT)
    assert command.end() == 130, command.said()
    assert "to go on: python -m sweep.launch --resume cut\n" in command.said()
    assert "KILLED" in statuses(mlflow_here)
    assert "RUNNING" not in statuses(mlflow_here)
    (target,) = (mlflow_here / "runs" / ".artifacts").glob("*/model.safetensors")
    flipped(target)
    (mlflow_here / "go").touch()
    again = Command(mlflow_here, "--resume", "cut")
    assert again.end() == 0, again.said()
    summary = json.loads((mlflow_here / "runs" / "cut" / "summary.json").read_text())
    assert summary["trials"] == {"planned": 2, "finished": 2, "failed": 0, "pruned": 0}
    assert [line.startswith("search ") for line in again.said().splitlines()].count(True) == 1
    assert [line for line in again.said().splitlines() if line.startswith("prepared")] == ["prepared target"]
    assert sound(target.parent)
