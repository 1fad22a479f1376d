"""The short forms of `faults.driver`, `second`, `worker` and `node`: real drivers of toys; the checks are theirs."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from faults import driver, node, second, worker
from faults.common import RESUME, SWEEP, Held, Toys, over, undisturbed
from support.commands import FORSAKEN, ROOT, Command


@pytest.fixture(scope="module")
def toys(empty_mlflow: Path) -> Toys:
    """Starts sweeps of toy trials."""
    return Toys(empty_mlflow)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The lines of all trials of a sweep to which nothing happens."""
    return undisturbed(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def headless(tmp_path_factory: pytest.TempPathFactory, toys: Toys) -> Iterator[node.Headless]:
    """A sweep that has lost its head: it notices that while the other tests run."""
    held = Held(toys, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")  # of the workers, which the nodes start
        with node.headless(tmp_path_factory.mktemp("headless"), held.moment, held.start) as one:
            yield one


@pytest.mark.usefixtures("headless")
def test_a_driver_is_ended_and_killed_and_two_go_on(tmp_path: Path, toys: Toys, plain: bytes) -> None:
    """Its terminal is closed, the one that goes on is killed, then two go on: it ends as the one nobody disturbed.

    While a driver is there a second one is refused; of the two at once one is, and the other needs no help.
    """
    one, two, three = Held(toys, 1, "one"), Held(toys, 2, "two"), Held(toys, 2, "three")

    @contextmanager
    def another_beside(command: Command) -> Iterator[None]:
        with one.moment(command):
            second.beside(tmp_path, toys)
            yield

    closed, killed = driver.BLOWS["terminal closed"], driver.BLOWS["SIGKILL to the driver"]
    hits = [driver.struck(one.start(tmp_path, *SWEEP, **FORSAKEN), another_beside, closed)]
    driver.check(hits[0], tmp_path, closed)
    before = over(tmp_path)
    hits += [driver.struck(two.start(tmp_path, *RESUME, **FORSAKEN), two.moment, killed)]
    before += over(tmp_path)
    second.at_once(tmp_path, three.start, three.let_go)
    driver.check_whole(tmp_path, plain, hits, before)
    assert [hit.code for hit in hits] == [128 + signal.SIGHUP, -signal.SIGKILL]
    assert driver.interrupted(tmp_path) == 2


def test_a_worker_is_killed(tmp_path: Path, toys: Toys, plain: bytes) -> None:
    """In a trial, which is begun again: the sweep needs no help to be whole."""
    held = Held(toys, 1)
    assert worker.survived(tmp_path, plain, worker.TRIAL, held.moment, held.start) == 1
    assert worker.lost(tmp_path) == 1


def test_a_preparation_dies_each_time(tmp_path: Path, toys: Toys) -> None:
    """It is begun again twice, then the sweep ends with a sentence."""
    worker.given_up(tmp_path, partial(toys, TOY_PREPARATION="waiting"))


def test_the_head_is_lost(headless: node.Headless, toys: Toys) -> None:
    """The driver ends with a sentence, and the sweep goes on under another head."""
    node.told(headless)
    node.goes_on(headless.command.here, toys)
