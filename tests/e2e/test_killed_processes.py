"""The short forms of `faults.driver`, `faults.worker` and `faults.node`: a sweep for each, whose checks are theirs."""

import random
import signal
from pathlib import Path

import pytest

from faults import driver, node, worker
from support.commands import ROOT

KILLED = driver.BLOWS["SIGKILL to the driver"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> driver.Undisturbed:
    """A sweep to which nothing happens."""
    return driver.undisturbed(tmp_path_factory.mktemp("plain"))


def test_the_driver_is_killed(tmp_path: Path, plain: driver.Undisturbed) -> None:
    """In the search; the resumed sweep ends as the one that nobody disturbed, byte for byte."""
    (hit, *_) = driver.survived(tmp_path, plain, random.Random(0), "the search", KILLED)  # noqa: S311
    assert hit.code == -signal.SIGKILL


def test_a_worker_is_killed(tmp_path: Path, plain: driver.Undisturbed) -> None:
    """While it imports, or in its first trial: the sweep needs no help to be whole."""
    assert worker.survived(tmp_path, plain, worker.TRIAL, 1.0) == 1
    assert worker.lost(tmp_path) == 1


def test_a_preparation_dies_each_time(tmp_path: Path) -> None:
    """It is begun again twice, then the sweep ends with a sentence."""
    worker.given_up(tmp_path)


def test_the_head_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver ends with a sentence, and the sweep goes on under another head."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    node.head_lost(tmp_path)
