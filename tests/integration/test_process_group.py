"""Trials of several processes on a real local Ray."""

import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from support import workers
from support.searches import Seen, search
from support.toys import config as toy_config
from support.toys import dataset
from support.workers import fragile, orphaned, warm
from sweep.config import SweepConfig
from sweep.ledger import Ledger
from sweep.preparation import prepare
from sweep.record import Record
from sweep.schedule import Beat, connected, fit
from sweep.search import StudySearcher
from sweep.trial import Run, makers, unlearn
from sweep.unlearning.artifacts import plan

NAME = "toy"


@pytest.fixture(scope="module", autouse=True)
def _ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray on this machine, whose workers find the packages and this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        with connected(toy_config(tmp_path_factory.mktemp("ray")).cluster):
            yield


def toy(folder: Path, processes: int, trials: int) -> SweepConfig:
    """A sweep on the toy model, three rows a batch."""
    sweep = toy_config(folder, train={"batch": 3}, search={"sampler": "random", "trials": trials})
    return sweep.model_copy(update={"cluster": sweep.cluster.model_copy(update={"processes": processes, "cpus": 2.0})})


def records(sweep: SweepConfig, run: Run) -> list[Record]:
    """What is in the ledger once all trials have run, one after the other."""
    (sweep.storage / NAME).mkdir(parents=True, exist_ok=True)
    ledger, step = Ledger(sweep, NAME), Beat(lambda: None)
    fit(sweep.cluster, [run], StudySearcher([search(sweep, ledger, Seen())], why=step.why), 1, step)
    return ledger.records()


def test_a_sweep_is_that_of_one_process(tmp_path: Path) -> None:
    """Prepared by two processes: their trial has the curve and the score of one process's."""
    pair, alone = (toy(tmp_path / name, processes, 1) for name, processes in (("pair", 2), ("alone", 1)))
    artifacts, seen = plan(pair, dataset()), Seen()
    prepare(pair.cluster, makers(pair, dataset(), artifacts), seen, lambda: None)
    assert artifacts.missing == []
    assert [done for stage, done, _ in seen.progress if stage == "target"] == list(range(1, 60 * 8 // 4 + 1))
    (found,), (expected,) = (records(sweep, partial(unlearn, sweep, artifacts)) for sweep in (pair, alone))
    assert found.state == expected.state == "finished"
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4, abs=1e-5)
    assert found.curve == [pytest.approx(point, rel=1e-4, abs=1e-5) for point in expected.curve]


def test_a_process_that_dies_is_tried_again(tmp_path: Path) -> None:
    """Both processes are started anew and the trial is whole; one that raises has failed, on both, and is not."""
    rows = records(toy(tmp_path, 2, 2), partial(fragile, tmp_path / "died"))
    assert [row.state for row in rows] == ["finished", "failed"]
    assert (tmp_path / "died").exists()
    assert re.fullmatch(
        rf"ValueError: alpha and beta quarrel \({re.escape(workers.__file__)}, line \d+\)", rows[1].reason
    )
    assert [row.curve for row in rows] == [[{"epoch": 1, "processes": 2.0}]] * 2
    assert rows[0].score == 1.0


def test_processes_serve_one_trial_after_another(tmp_path: Path) -> None:
    """Until one raises, of which the others know nothing: those that wait for it are replaced."""
    first, failed, second, third = records(toy(tmp_path, 2, 4), warm)
    assert failed.state == "failed"
    assert first.worker == failed.worker == second.worker == third.worker
    assert first.score != second.score
    assert second.score == third.score


def test_processes_end_with_their_worker(tmp_path: Path) -> None:
    """A worker is killed while its processes, which hold all there is, are at work: its trial is begun again."""
    (row,) = records(toy(tmp_path, 2, 1), partial(orphaned, tmp_path / "killed"))
    assert (tmp_path / "killed").exists()
    assert row.state == "finished"
