"""Mistakes and questions as a user types them, in processes of their own: one sentence, without waiting for torch."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from eval.shipped_configs import CONFIGS
from support.commands import ROOT

WTNPO = str(CONFIGS / "wtnpo.yaml")
NOWHERE = "http://127.0.0.1:1"
"""An address at which nobody listens."""
HEAVY = """
import sys
from importlib import import_module

for module, *argv in {asked!r}:
    try:
        import_module(module).main(argv)
    except SystemExit:
        pass
    print("imported:", sorted({{"torch", "ray", "optuna", "mlflow"}} & set(sys.modules)))
"""
"""Asks commands one after the other, and says after each what has been imported."""


@pytest.mark.parametrize(
    ("module", "argv"),
    [
        ("sweep.launch", [WTNPO, b"storage='\xff'"]),
        ("sweep.submit", [WTNPO]),
        ("sweep.report", ["nothing"]),
        ("sweep.sync", ["nothing.json"]),
        ("eval.run", ["nothing", "--data", "authors", "--template", "tiny"]),
    ],
)
def test_a_mistake(tmp_path: Path, module: str, argv: Sequence[str | bytes]) -> None:
    """Exit code 2, one line on stderr, nothing on stdout and nothing left in the working directory."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "LC_ALL": "C"}
    variables |= {"MLFLOW_TRACKING_URI": "http://tracking:5000"}
    command: list[str | bytes] = [sys.executable, "-m", module, *argv]
    ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)  # noqa: S603 (our own)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_and_mistakes_wait_for_nothing() -> None:
    """Neither of those who run sweeps imports torch, Ray, Optuna or MLflow."""
    mistake = [WTNPO, "serch.trials=3", "--address", NOWHERE]
    asked = [("sweep.launch", "--help"), ("sweep.submit", "--help"), ("sweep.launch", *mistake[:2])]
    command = [sys.executable, "-c", HEAVY.format(asked=[*asked, ("sweep.submit", *mistake)])]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://tracking:5000"}
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)  # noqa: S603 (our own)
    assert [line for line in ran.stdout.splitlines() if line.startswith("imported: ")] == ["imported: []"] * 4
    assert ran.stderr.count("nearest: search") == 2
