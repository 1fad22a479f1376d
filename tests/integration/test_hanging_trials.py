"""Trials that hang or run out of memory, on a real local Ray: begun again on a fresh process, and the sweep goes on."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from support import workers
from support.searches import NAME, Seen, search
from support.toys import config as toy_config
from support.workers import strange
from sweep.config import SweepConfig
from sweep.ledger import Ledger
from sweep.schedule import Beat, connected, fit
from sweep.search import StudySearcher

SECONDS = 10
"""Until a toy trial is taken to hang; else it takes a moment."""


def toy(folder: Path) -> SweepConfig:
    """Two random trials, each begun again once."""
    sweep = toy_config(folder, search={"sampler": "random", "trials": 2})
    return sweep.model_copy(update={"cluster": sweep.cluster.model_copy(update={"deadline": SECONDS / 3600})})


def test_trials_that_hang_or_run_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fails with its reason, and where it was; its second try is another process's."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    sweep = toy(tmp_path)
    (tmp_path / NAME).mkdir()
    ledger, step = Ledger(sweep, NAME), Beat(lambda: None)
    with connected(sweep.cluster):
        searcher = StudySearcher([search(sweep, ledger, Seen())], why=step.why)
        fit(sweep.cluster, [partial(strange, tmp_path / "hung")], searcher, 1, step)
    found = ledger.attempts("search")
    assert [(one.index, one.state) for one in found] == [
        (0, "failed"),
        (0, "finished"),
        (1, "failed"),
        (1, "failed"),
    ]
    late = f"it ran longer than cluster.deadline = {SECONDS / 3600:g} hours: it was at {workers.__file__}, line "
    assert found[0].reason.startswith(late), found
    assert {one.reason for one in found[2:]} == {"memory ran out: take less"}
    assert len({one.worker for one in found}) == 3  # the second try of trial 0 and the first of trial 1 share one
