"""Trials of several processes on a real Ray."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import workers
from support.searches import RecordingDisplay, open_study, run_sweeps
from support.toys import config as toy_config
from support.toys import dataset
from support.waiting import SCALE, TIER_TIMEOUTS_S, until
from support.workers import paired
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, locate_artifacts
from sweep.prepare.preparers import missing_preparers
from sweep.records import TrialRecord
from sweep.trial.runner import run_trial, unlearn

if TYPE_CHECKING:
    from support.rays import Slots

pytestmark = pytest.mark.timeout(SCALE * TIER_TIMEOUTS_S["e2e"])
"""Its fixtures start a dozen processes that import torch and transformers, which takes what it takes."""
EPOCHS = 20
"""Of the toy target: enough that the trials' metrics are neither 0 nor 1."""


def toy(slots: "Slots", folder: Path, trials: int) -> SweepConfig:
    """A sweep on the toy model, three rows a batch, two processes for each trial."""
    return toy_config(
        folder,
        train={"batch": 3},
        search={"sampler": "random", "trials": trials},
        target={"path": None, "revision": None, "epochs": EPOCHS, "lr": 1e-2, "batch": 4, "weight_decay": 0.0},
        cluster=slots.cluster(processes=2, cpus=2.0).model_dump(),
    )


@pytest.fixture(scope="module")
def made(
    ray_slots: "Slots", tmp_path_factory: pytest.TempPathFactory
) -> tuple[SweepConfig, Artifacts, RecordingDisplay]:
    """A sweep of one trial, prepared by two processes, and what was told meanwhile."""
    from sweep.cluster.preparation import run_preparation

    sweep = toy(ray_slots, tmp_path_factory.mktemp("made"), 1)
    artifacts, seen = locate_artifacts(sweep, dataset()), RecordingDisplay()
    run_preparation(sweep.cluster, missing_preparers(sweep, dataset(), artifacts), seen, lambda: None)
    return sweep, artifacts, seen


def test_a_preparation_by_two_processes(made: tuple[SweepConfig, Artifacts, RecordingDisplay]) -> None:
    """All is there in the end, and each step of the target is told once."""
    _, artifacts, seen = made
    assert artifacts.missing_names == []
    assert [done for stage, done, _ in seen.progress if stage == "target"] == list(range(1, EPOCHS * 8 // 4 + 1))


@pytest.fixture(scope="module")
def attempts(
    ray_slots: "Slots", made: tuple[SweepConfig, Artifacts, RecordingDisplay], tmp_path_factory: pytest.TempPathFactory
) -> Sequence[TrialRecord]:
    """Every attempt at a sweep's toy trials, in the order in which they were begun, one at a time.

    After them the same processes run the one trial of the sweep that was prepared.
    """
    folder = tmp_path_factory.mktemp("paired")
    sweep, (real, artifacts, _) = toy(ray_slots, folder / "runs", 5), made
    run_sweeps([(sweep, partial(paired, folder)), (real, partial(unlearn, real, artifacts))], at_once=1)
    found = open_study(sweep).list_attempts("search")
    ended = [(one.index, one.state) for one in found]
    assert ended[:3] == [(0, "finished"), (1, "failed"), (2, "finished")]
    assert ended[3:] == [(3, "failed"), (3, "finished"), (4, "failed"), (4, "finished")]
    return found


def test_a_sweep_is_that_of_one_process(
    attempts: Sequence[TrialRecord], made: tuple[SweepConfig, Artifacts, RecordingDisplay]
) -> None:
    """The trial of two processes has the curve and the score that this process has alone."""
    sweep, artifacts, _ = made
    (found,) = open_study(sweep).list_records()
    *_, expected = run_trial(partial(unlearn, sweep, artifacts), replace(found, state="running", metrics={}, curve=[]))
    assert found.state == expected.state == "finished"
    assert found.worker == attempts[-1].worker
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4, abs=1e-5)
    assert found.curve == [pytest.approx(point, rel=1e-4, abs=1e-5) for point in expected.curve]
    assert 0 < expected.curve[0]["forget/es"] < 1, "a trial that says something"


def first(attempt: TrialRecord) -> int:
    """The id of the first of its processes."""
    return int(attempt.curve[0]["pid"])


def test_processes_serve_one_trial_after_another(attempts: Sequence[TrialRecord]) -> None:
    """Until one raises, of which the others know nothing: those that wait for it are replaced."""
    one, failed, two, three = attempts[:4]
    assert one.worker == failed.worker == two.worker == three.worker
    assert first(one) == first(failed)
    assert first(failed) != first(two)
    assert first(two) == first(three)


def test_a_trial_that_raises_in_one_process_has_failed(attempts: Sequence[TrialRecord]) -> None:
    """It is not tried again, and its reason has the place in that process."""
    where = rf"{re.escape(workers.__file__)}, line \d+"
    assert re.fullmatch(rf"ValueError: alpha and beta quarrel \({where}\)", attempts[1].reason)


def test_a_process_that_dies_is_tried_again(attempts: Sequence[TrialRecord]) -> None:
    """Both processes are started anew and the trial is whole; all hear what the first one says."""
    died, again = attempts[3:5]
    assert died.reason.startswith("its process died: ")
    assert died.worker != again.worker
    assert first(died) != first(again)
    assert {len(one.curve) for one in attempts} == {1}
    assert {(one.curve[0]["epoch"], one.curve[0]["processes"]) for one in attempts} == {(1, 2)}
    assert {one.score for one in attempts if one.state == "finished"} == {1}


def test_processes_end_with_their_worker(attempts: Sequence[TrialRecord]) -> None:
    """A worker is killed while its processes, which hold all there is, are at work: its trial is begun again."""
    again, killed, last = attempts[4:]
    assert again.worker == killed.worker != last.worker
    until(lambda: not Path(f"/proc/{first(killed)}").exists())
