"""The schedule on a real Ray with toy trials: warm workers, sweeps side by side, interrupts, the preparation."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import ray

from support.searches import RecordingDisplay, open_study, run_sweeps
from support.toys import config as toy_config
from support.trials import PAPER
from support.workers import bowl, breaks, dying, full, lagging, late, made
from sweep.cluster.preparation import run_preparation
from sweep.cluster.resources import count_slots, no_slot_message
from sweep.config.schema import SweepConfig
from sweep.errors import BrokenOffError, ConfigError, Interrupted
from sweep.records import PHASES, TrialRecord
from sweep.search.queue import pending_trials
from sweep.trial.outcomes import EpochResult, TrialOutcome
from sweep.trial.runner import run_trial

if TYPE_CHECKING:
    from support.rays import Slots


class Swept(NamedTuple):
    """A sweep that has run: what its view was told, and what is in its study."""

    seen: RecordingDisplay
    rows: list[TrialRecord]


def toy(slots: "Slots", folder: Path, **blocks: object) -> SweepConfig:
    """A toy sweep on this Ray."""
    return toy_config(folder, cluster=slots.cluster().model_dump(), **blocks)


@pytest.fixture(scope="module")
def four(ray_slots: "Slots", tmp_path_factory: pytest.TempPathFactory) -> list[Swept]:
    """Four sweeps that ran side by side on two workers, each with trials of its own."""
    here = tmp_path_factory.mktemp("four")
    wanted: list[tuple[Callable[[TrialRecord], Iterator[EpochResult | TrialOutcome]], dict[str, Any]]] = [
        (bowl, {"search": {"sampler": "tpe", "trials": 6, "race": 2}, "seeds": 2}),
        (late, {"search": {"sampler": "tpe", "trials": 2}}),
        (breaks, {"search": {"sampler": "random", "trials": 5}}),
        (lagging, {"search": {"sampler": "random", "trials": 12, "stop": "asha"}, "train": {"epochs": 9}}),
    ]
    sweeps = [(toy(ray_slots, here / run.__name__, **blocks), run) for run, blocks in wanted]
    seen = run_sweeps(sweeps)
    return [Swept(one, open_study(sweep).list_records()) for one, (sweep, _) in zip(seen, sweeps, strict=True)]


def test_a_sweep_on_warm_workers(four: list[Swept]) -> None:
    """6 trials, a race of 2 runs, then 2 settings on 2 seeds: 12, all finished; each point and end is told."""
    seen, rows = four[0]
    assert [(row.phase, row.index) for row in rows] == [
        *(("search", i) for i in range(6)),
        *(("race", i) for i in range(2)),
        *(("finalist", i) for i in range(4)),
    ]
    assert {row.state for row in rows} == {"finished"}
    assert len(seen.points) == 2 * 12
    assert sorted(seen.ended, key=lambda row: (PHASES.index(row.phase), row.index)) == rows
    assert rows[0].curve == [
        {"epoch": 1, "forget/es": 1.0, "retain/es": 1.0},
        {"epoch": 2, "forget/es": 0.5, "retain/es": 1.0},
    ]


def test_two_workers_serve_all_trials(four: list[Swept]) -> None:
    """Of all sweeps, those that fail and those that are stopped too: no process is lost, and none is begun anew."""
    assert len({row.worker for sweep in four for row in sweep.rows}) <= 2
    bowls = [row for sweep in four[:2] for row in sweep.rows]
    assert sum(row.metrics["uses"] == 1 for row in bowls) == len({row.worker for row in bowls})


def test_two_sweeps_side_by_side(four: list[Swept]) -> None:
    """On two workers the first two trials are one of each; each sweep has its own trials in its own study."""
    first, second = (sweep.rows for sweep in four[:2])
    assert [len(sweep.rows) for sweep in four] == [len(sweep.seen.ended) for sweep in four] == [12, 2, 5, 12]
    assert all(row.score - row.seed < 10 for row in first)
    assert all(row.score >= 10 for row in second)
    assert second[0].started < first[1].started


def test_failures_are_told_and_do_not_stop_the_sweep(four: list[Swept]) -> None:
    """An exception is one line with its place; no score and no end are failures too."""
    rows = four[2].rows
    assert {row.state for row in rows} == {"failed"}
    assert rows[0].reason.startswith("ValueError: alpha and beta quarrel (")
    assert "workers.py, line " in rows[0].reason
    others = {(float(row.setting["alpha"]) > 2.5): row.reason for row in rows[1:]}
    assert others == {True: "the trial gave no finite score", False: "the trial ended without an outcome"}


def test_a_stopped_trial_is_gone_before_the_next(four: list[Swept]) -> None:
    """Of 12 trials that get worse most are stopped after epoch 2, in processes that live on, and never two in one."""
    seen, rows = four[3]
    stopped = [row for row in rows if row.state == "pruned"]
    assert {row.state for row in rows} == {"finished", "pruned"}
    assert rows[0].state == "finished" and len(rows[0].curve) == 9 and len(stopped) >= 8
    assert {len(row.curve) for row in stopped} <= {2, 6}
    assert all(row.reason.startswith("pruned by ASHA after epoch ") and row.metrics == {} for row in stopped)
    assert {point["others"] for row in rows for point in row.curve} == {0}
    assert sorted(row.index for row in seen.ended) == list(range(12))


def test_one_worker_asks_what_the_next_driver_would(tmp_path: Path, ray_slots: "Slots") -> None:
    """One at a time, interrupted by the 4th end: the settings of all 10 are those of a sweep that just goes on."""
    search = {"sampler": "tpe", "trials": 10, "epochs": "last"}
    whole, parts = (toy(ray_slots, tmp_path / name, search=search) for name in ("whole", "parts"))

    def stop() -> None:
        if sum(row.state == "finished" for row in study.list_records()) == 4:
            raise Interrupted(2)

    study = open_study(parts)
    with pytest.raises(Interrupted):
        run_sweeps([(parts, bowl)], at_once=1, after_step=stop)
    run_sweeps([(parts, bowl)], at_once=1)
    rows = open_study(parts).list_records()
    assert [row.setting for row in rows] == [row.setting for row in here(whole)]
    assert len(rows) == 10


def here(sweep: SweepConfig) -> list[TrialRecord]:
    """A sweep of the bowl in this process, one trial after the other, without Ray."""
    study = open_study(sweep)
    for task in pending_trials(sweep, PAPER, study):
        assert task is not None, "one worker never waits"
        *_, ended = run_trial(bowl, study.open_attempt(task))
        study.close_attempt(ended)
    return study.list_records()


def test_a_preparation_whose_process_dies_is_begun_again(tmp_path: Path, ray_slots: "Slots") -> None:
    """As often as `cluster.retries` says, which is once here; the other maker is not; all steps arrive in order."""
    seen, beats = RecordingDisplay(), list[int]()
    makers = [partial(dying, tmp_path, 1), partial(made, False)]
    run_preparation(ray_slots.cluster(), makers, seen, lambda: beats.append(1))
    assert len(list(tmp_path.iterdir())) == 1
    steps = [("first", 1, 2), ("first", 2, 2), ("second", 1, 1)]
    assert [seen.progress.index(step) for step in steps] == sorted(seen.progress.index(step) for step in steps)
    told = Counter(seen.progress)
    assert told.pop(steps[0]) in (2, 3)  # what a process says just before it is killed may be lost with it
    assert told == {steps[1]: 2, steps[2]: 1}
    assert beats


def test_a_preparation_whose_process_dies_too_often_ends_with_a_sentence(tmp_path: Path, ray_slots: "Slots") -> None:
    """Begun twice, then given up."""
    with pytest.raises(BrokenOffError, match=r"^the preparation failed, its process died: [^\n]+$"):
        run_preparation(ray_slots.cluster(), [partial(dying, tmp_path, 5)], RecordingDisplay(), lambda: None)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_the_preparation_refuses_stays_a_sentence(ray_slots: "Slots") -> None:
    """A ConfigError on the worker is the same ConfigError here, without Ray's words around it; others are told all."""
    seen = RecordingDisplay()
    with pytest.raises(ConfigError) as caught:
        run_preparation(ray_slots.cluster(), [partial(made, True)], seen, lambda: None)
    assert str(caught.value) == "model.path = 'x' does not fit."
    assert seen.progress == [("first", 1, 2), ("first", 2, 2)]


def test_two_makers_side_by_side(ray_slots: "Slots") -> None:
    """The steps of each arrive in order, all of them."""
    seen = RecordingDisplay()
    run_preparation(ray_slots.cluster(), [partial(made, False)] * 2, seen, lambda: None)
    steps = [("first", 1, 2), ("first", 2, 2), ("second", 1, 1)]
    assert sorted(seen.progress) == sorted(steps * 2)
    assert [seen.progress.index(step) for step in steps] == sorted(seen.progress.index(step) for step in steps)


def test_a_preparation_that_fails_ends_with_a_sentence(ray_slots: "Slots") -> None:
    """The error of the worker and its place there, in one line."""
    with pytest.raises(BrokenOffError) as caught:
        run_preparation(ray_slots.cluster(), [full], RecordingDisplay(), lambda: None)
    said = str(caught.value)
    front = "the preparation failed: OSError: [Errno 28] No space left on device: '/runs/x' ("
    assert said.startswith(front) and "workers.py, line " in said and "\n" not in said


def test_no_other_command_gets_to_know_of_this_ray(ray_slots: "Slots") -> None:
    """What the tests start besides finds nothing of it in its environment."""
    assert ray.is_initialized()
    assert os.environ.keys() & {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_health_check_period_ms"} == set()


def test_as_many_as_fit_run_at_once(ray_slots: "Slots") -> None:
    """One core for each trial."""
    assert ray_slots.room == int(ray.cluster_resources()["CPU"]) == 2  # type: ignore[no-untyped-call]


def test_a_trial_that_fits_nowhere_is_one_sentence(ray_slots: "Slots") -> None:
    """It would wait for ever: what it is given and what there is are told instead."""
    cluster = ray_slots.cluster(cpus=0.5, gpus=99.0)
    assert count_slots(cluster) == 0
    assert (
        no_slot_message(cluster)
        == "cluster = 'local': a trial needs CPU 0.5, GPU 99, but this machine has CPU 2, GPU 0."
    )


def test_a_share_of_a_core_fits_as_often_as_it_should(ray_slots: "Slots") -> None:
    """Ten trials of a tenth of a core run on one core, though ten times 0.1 is not 1 in binary."""
    assert count_slots(ray_slots.cluster(cpus=0.1)) == 10 * ray_slots.room
