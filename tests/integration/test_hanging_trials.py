"""Trials that hang, run out of memory or lose their process, on a real Ray: begun again, and the sweep goes on."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support import workers
from support.searches import open_study, run_sweeps
from support.toys import config as toy_config
from support.workers import perishing
from sweep.records import TrialRecord

if TYPE_CHECKING:
    from support.rays import Slots

SECONDS = 10
"""Until a trial is taken to hang; else it takes a moment, and all others are over by then."""
TRIALS = 5


@pytest.fixture(scope="module")
def tries(ray_slots: "Slots", tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, Sequence[TrialRecord]]:
    """Every attempt at each of a sweep's trials, most of which perish; each is begun again once."""
    folder = tmp_path_factory.mktemp("hanging")
    sweep = toy_config(
        folder / "runs",
        search={"sampler": "random", "trials": TRIALS},
        cluster=ray_slots.cluster(deadline=SECONDS / 3600).model_dump(),
    )
    run_sweeps([(sweep, partial(perishing, folder))])
    attempts = open_study(sweep).list_attempts("search")
    return {index: [one for one in attempts if one.index == index] for index in range(TRIALS)}


def states(tries: Sequence[TrialRecord]) -> list[str]:
    """How each ended."""
    return [one.state for one in tries]


def test_a_trial_that_hangs(tries: Mapping[int, Sequence[TrialRecord]]) -> None:
    """It fails after the deadline, and where it was is told; its second try is another process's."""
    assert states(tries[0]) == ["failed", "finished"]
    late = f"it ran longer than cluster.deadline = {SECONDS / 3600:g} hours: it was at {workers.__file__}, line "
    assert tries[0][0].reason.startswith(late)
    assert tries[0][0].worker != tries[0][1].worker


def test_a_trial_that_runs_out_of_memory(tries: Mapping[int, Sequence[TrialRecord]]) -> None:
    """It fails with its own words, each time in another process."""
    assert states(tries[1]) == ["failed", "failed"]
    assert {one.reason for one in tries[1]} == {"memory ran out: take less"}
    assert tries[1][0].worker != tries[1][1].worker


def test_a_process_that_dies_is_tried_again(tries: Mapping[int, Sequence[TrialRecord]]) -> None:
    """Once is forgiven, and the curve begins anew; after its retries a trial has failed, and the others go on."""
    assert states(tries[2]) == ["failed", "failed"]
    assert states(tries[3]) == ["failed", "finished"]
    assert all("died" in one.reason for one in (*tries[2], tries[3][0]))
    assert [[point["epoch"] for point in one.curve] for one in tries[3]] == [[1], [1, 1, 2]]
    assert states(tries[4]) == ["finished"]


def test_no_process_outlives_its_trial_when_that_perishes(tries: Mapping[int, Sequence[TrialRecord]]) -> None:
    """Each that failed was the last of its process."""
    failed = [one for own in tries.values() for one in own if one.state == "failed"]
    assert len({one.worker for one in failed}) == len(failed) == 6
