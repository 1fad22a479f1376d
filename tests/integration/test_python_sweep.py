"""`run_sweep` in a thread of a program that handles signals itself: real driver, Ray, study and MLflow, toy trials."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
again = run_sweep("wtnpo", words, name="called", resume=True)
kept = [signal.getsignal(signum) is handler for signum in (signal.SIGINT, signal.SIGTERM)]
print(json.dumps({
    "trials": ran.trials[["phase", "score"]].to_dict("records"),
    "curve": len(ran.curves),
    "best": ran.best,
    "verdict": ran.verdict,
    "text": str(ran),
    "report": ran.report.is_file(),
    "same": again.best == ran.best and again.records == ran.records,
    "kept": kept,
}))
"""


def test_a_sweep_runs_in_a_thread_and_goes_on(mlflow_here: Path) -> None:
    """The result has every trial, best and verdict; another call finds all done; the signals are the caller's."""
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
    assert found["same"]
    assert found["kept"] == [True, True]
