"""`run_sweep` in a thread of a program that handles signals itself, and in the notebook of examples/; toy trials."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from support.commands import ROOT

PROGRAM = """
import json, signal
from concurrent.futures import ThreadPoolExecutor
from support.toy_launch import use_toys

use_toys()
from sweep import run_sweep

def handler(*_): pass

for signum in (signal.SIGINT, signal.SIGTERM):
    signal.signal(signum, handler)
words = {"search.trials": 2, "search.race": 0, "seeds": 2}
with ThreadPoolExecutor(1) as threads:
    ran = threads.submit(run_sweep, "wtnpo", words, name="called").result()
again = run_sweep("wtnpo", words | {"search.trials": 3}, name="called", resume=True)
kept = [signal.getsignal(signum) is handler for signum in (signal.SIGINT, signal.SIGTERM)]
print(json.dumps({
    "trials": ran.trials[["phase", "score"]].to_dict("records"),
    "curve": len(ran.curves),
    "best": ran.best,
    "verdict": ran.verdict,
    "text": str(ran),
    "report": ran.report.is_file(),
    "lost": [one.index for one in ran.records if one not in again.records],
    "search": [sum(one.phase == "search" for one in sweep.records) for sweep in (ran, again)],
    "planned": again.summary["trials"]["planned"],
    "kept": kept,
}))
"""


def test_a_sweep_runs_in_a_thread_and_goes_on(mlflow_here: Path) -> None:
    """The result has every trial, best and verdict; another call adds a trial to it; the signals are the caller's."""
    done = subprocess.run(  # noqa: S603 (our own)
        [sys.executable, "-c", PROGRAM],
        cwd=mlflow_here,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [one["phase"] for one in found["trials"]].count("search") == 2
    assert {*found["best"]} == {"alpha", "beta"}
    assert ", 2 seeds)" in found["verdict"]
    assert found["text"].startswith(found["verdict"])
    assert found["curve"] == 2 * len(found["trials"])
    assert found["report"]
    assert (found["lost"], found["search"], found["planned"]) == ([], [2, 3], 3)
    assert "trials: 3\n" in (mlflow_here / "runs" / "called" / "config.yaml").read_text()
    assert found["kept"] == [True, True]


def test_the_notebook_runs(mlflow_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell of it, in a kernel whose event loop runs already; the committed outputs have its kinds and no path."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    notebook = nbformat.read(ROOT / "examples" / "first_sweep.ipynb", as_version=4)
    committed = [kinds_of_outputs(cell) for cell in notebook.cells]
    assert {"text/html", "image/png"} <= {kind for kinds in committed for kind in kinds}
    assert not [word for word in ("/home", "/root", "/tmp", "/work") if word in nbformat.writes(notebook)]  # noqa: S108
    toys = nbformat.v4.new_code_cell("from support.toy_launch import use_toys; use_toys()")
    notebook.cells.insert(0, toys)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(mlflow_here)}}).execute()
    assert [kinds_of_outputs(cell) for cell in notebook.cells[1:]] == committed
    assert (mlflow_here / "runs" / "notebook-npo" / "report.html").is_file()


def kinds_of_outputs(cell: nbformat.NotebookNode) -> set[str]:
    """Types of what a cell shows; a stream is none of its own."""
    return {kind for output in cell.get("outputs", ()) for kind in output.get("data", {})}
