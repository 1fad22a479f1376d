"""The schedule on a real local Ray with toy trials: warm workers, retries, failures, preparation, interrupts."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray

from support.searches import NAME, Seen, search
from support.toys import config as toy_config
from support.workers import bowl, breaks, dies, dying, full, lagging, late, made
from sweep.config import ConfigError, SweepConfig
from sweep.interrupts import BrokenOffError, Interrupted
from sweep.ledger import Ledger
from sweep.preparation import prepare
from sweep.record import Record
from sweep.room import bundle, no_room, room_for
from sweep.schedule import Beat, connected, fit
from sweep.search import StudySearcher
from sweep.trial import Run


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Ray on this machine for the whole module; its workers find the packages and this file."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    with connected(toy_config(tmp_path_factory.mktemp("ray")).cluster) as room:
        yield room
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def sweep(tmp_path: Path, run: Run, step: Beat | None = None, at_once: int = 2, **blocks: object) -> Seen:
    """Run what is left of a sweep, as `schedule.run` does, without MLflow."""
    config = folder(tmp_path, **blocks)
    ledger, seen, step = Ledger(config, NAME), Seen(), step or Beat(lambda: None)
    fit(config.cluster, [run], StudySearcher([search(config, ledger, seen)], why=step.why), at_once, step)
    return seen


def folder(tmp_path: Path, **blocks: object) -> SweepConfig:
    """A toy sweep with a folder for its ledger."""
    (tmp_path / NAME).mkdir(exist_ok=True)
    return toy_config(tmp_path, **blocks)


def records(tmp_path: Path, **blocks: object) -> list[Record]:
    """What is in the ledger."""
    return Ledger(folder(tmp_path, **blocks), NAME).records()


def test_a_sweep_on_warm_workers(tmp_path: Path, room: int) -> None:
    """6 trials, then 3 settings on 2 seeds: 12, all finished, in 2 processes at most; each point and end is told."""
    seen = sweep(tmp_path, bowl, search={"sampler": "tpe", "trials": 6}, seeds=2)
    rows = records(tmp_path)
    assert [(row.phase, row.index) for row in rows] == [("search", i) for i in range(6)] + [
        ("finalist", i) for i in range(6)
    ]
    assert {row.state for row in rows} == {"finished"}
    assert sum(row.metrics["uses"] == 1 for row in rows) == len({row.worker for row in rows}) <= 2
    assert len(seen.points) == 2 * 12
    assert sorted(seen.ended, key=lambda row: (row.phase != "search", row.index)) == rows
    assert rows[0].curve == [
        {"epoch": 1, "forget/es": 1.0, "retain/es": 1.0},
        {"epoch": 2, "forget/es": 0.5, "retain/es": 1.0},
    ]


def test_two_sweeps_side_by_side(tmp_path: Path, room: int) -> None:
    """On two workers the first two trials are one of each; each sweep has its own trials in its own ledger."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    configs = [folder(tmp_path / "a", search={"trials": 3}), folder(tmp_path / "b", search={"trials": 2})]
    ledgers, both, step = [Ledger(config, NAME) for config in configs], (Seen(), Seen()), Beat(lambda: None)
    searches = [search(*one) for one in zip(configs, ledgers, both, strict=True)]
    fit(configs[0].cluster, [bowl, late], StudySearcher(searches, why=step.why), 2, step)
    first, second = (ledger.records() for ledger in ledgers)
    assert [len(first), len(second)] == [len(seen.ended) for seen in both] == [3, 2]
    assert all(row.score < 10 for row in first)
    assert all(row.score >= 10 for row in second)
    assert second[0].started < first[1].started


def test_a_stopped_trial_is_gone_before_the_next(tmp_path: Path, room: int) -> None:
    """Of 12 trials that get worse most are stopped after epoch 2, in 2 processes that live on, and never two in one."""
    seen = sweep(tmp_path, lagging, search={"sampler": "random", "trials": 12, "stop": "asha"}, train={"epochs": 9})
    rows = records(tmp_path)
    stopped = [row for row in rows if row.state == "pruned"]
    assert {row.state for row in rows} == {"finished", "pruned"}
    assert rows[0].state == "finished" and len(rows[0].curve) == 9 and len(stopped) >= 8
    assert {len(row.curve) for row in stopped} <= {2, 6}
    assert all(row.reason.endswith("others had forgotten more") and row.metrics == {} for row in stopped)
    assert {point["others"] for row in rows for point in row.curve} == {0}
    assert len({row.worker for row in rows}) <= 2
    assert sorted(row.index for row in seen.ended) == list(range(12))


def test_one_worker_asks_what_the_next_driver_would(tmp_path: Path, room: int) -> None:
    """One at a time, interrupted by the 4th end: the settings of all 10 are those of an uninterrupted sweep."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    search = {"sampler": "tpe", "trials": 10, "epochs": "last"}
    sweep(tmp_path / "whole", bowl, at_once=1, search=search)

    def stop() -> None:
        if sum(row.state == "finished" for row in records_of.records()) == 4:
            raise Interrupted(2)

    records_of = Ledger(folder(tmp_path / "parts", search=search), NAME)
    with pytest.raises(Interrupted):
        sweep(tmp_path / "parts", bowl, Beat(stop), at_once=1, search=search)
    sweep(tmp_path / "parts", bowl, at_once=1, search=search)
    whole, parts = records(tmp_path / "whole"), records(tmp_path / "parts")
    assert [row.setting for row in whole] == [row.setting for row in parts]
    assert len(parts) == 10


def test_a_process_that_dies_is_tried_again(tmp_path: Path, room: int) -> None:
    """Once is forgiven, and the curve begins anew; after its retries a trial has failed, and the others go on."""
    sweep(tmp_path, partial(dies, tmp_path / "died"))
    rows = records(tmp_path)
    assert [row.state for row in rows] == ["failed", "finished", "finished"]
    assert "died" in rows[0].reason
    assert [len(row.curve) for row in rows[1:]] == [3, 3]


def test_failures_are_told_and_do_not_stop_the_sweep(tmp_path: Path, room: int) -> None:
    """An exception is one line with its place; no score and no end are failures too; no process is lost."""
    sweep(tmp_path, breaks, search={"sampler": "random", "trials": 5})
    rows = records(tmp_path)
    assert {row.state for row in rows} == {"failed"}
    assert rows[0].reason.startswith("ValueError: alpha and beta quarrel (")
    assert "workers.py, line " in rows[0].reason
    others = {(float(row.setting["alpha"]) > 2.5): row.reason for row in rows[1:]}
    assert others == {True: "the trial gave no finite score", False: "the trial ended without an outcome"}
    assert len({row.worker for row in rows}) <= 2


def test_preparation_is_told_as_it_goes(tmp_path: Path, room: int) -> None:
    """Two makers side by side: the steps of each arrive in order, all of them."""
    seen, beats = Seen(), list[int]()
    prepare(toy_config(tmp_path).cluster, [partial(made, False)] * 2, seen, lambda: beats.append(1))
    steps = [("first", 1, 2), ("first", 2, 2), ("second", 1, 1)]
    assert sorted(seen.progress) == sorted(steps * 2)
    assert [seen.progress.index(step) for step in steps] == sorted(seen.progress.index(step) for step in steps)
    assert beats


def test_what_the_preparation_refuses_stays_a_sentence(tmp_path: Path, room: int) -> None:
    """A ConfigError on the worker is the same ConfigError here, without Ray's words around it."""
    seen = Seen()
    with pytest.raises(ConfigError) as caught:
        prepare(toy_config(tmp_path).cluster, [partial(made, True)], seen, lambda: None)
    assert str(caught.value) == "model.path = 'x' does not fit."
    assert len(seen.progress) == 2


def test_a_preparation_whose_process_dies_is_begun_again(tmp_path: Path, room: int) -> None:
    """As often as `cluster.retries` says, which is once here; the other maker is not begun again."""
    seen = Seen()
    prepare(toy_config(tmp_path).cluster, [partial(dying, tmp_path, 1), partial(made, False)], seen, lambda: None)
    assert len(list(tmp_path.iterdir())) == 1
    steps = Counter(seen.progress)
    assert steps.pop(("first", 1, 2)) in (2, 3)  # what a process says just before it is killed may be lost with it
    assert steps == {("first", 2, 2): 2, ("second", 1, 1): 1}


def test_a_preparation_whose_process_dies_too_often_ends_with_a_sentence(tmp_path: Path, room: int) -> None:
    """Begun twice, then given up."""
    with pytest.raises(BrokenOffError, match=r"^the preparation failed, its process died: [^\n]+$"):
        prepare(toy_config(tmp_path).cluster, [partial(dying, tmp_path, 5)], Seen(), lambda: None)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_preparation_that_fails_ends_with_a_sentence(tmp_path: Path, room: int) -> None:
    """The error of the worker and its place there, in one line."""
    with pytest.raises(BrokenOffError) as caught:
        prepare(toy_config(tmp_path).cluster, [full], Seen(), lambda: None)
    said = str(caught.value)
    front = "the preparation failed: OSError: [Errno 28] No space left on device: '/runs/x' ("
    assert said.startswith(front) and "workers.py, line " in said and "\n" not in said


def test_what_a_trial_is_given(tmp_path: Path) -> None:
    """CPU always, GPU and the accelerator's type only where they are asked for."""
    cluster = toy_config(tmp_path).cluster
    assert bundle(cluster) == {"CPU": 1.0}
    large = cluster.model_copy(update={"cpus": 8.0, "gpus": 0.5, "accelerator": "A100"})
    assert bundle(large) == {"CPU": 8.0, "GPU": 0.5, "accelerator_type:A100": 0.001}


def test_as_many_as_fit_run_at_once(room: int) -> None:
    """One core for each trial."""
    assert room == int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path, address: str) -> None:
    """An address where nothing listens, and one of another kind, are refused at once with the key."""
    cluster = toy_config(tmp_path).cluster.model_copy(update={"address": address})
    with pytest.raises(ConfigError, match=r"^cluster\.address = "), connected(cluster):
        pass


def test_a_trial_that_fits_nowhere_is_one_sentence(tmp_path: Path, room: int) -> None:
    """It would wait for ever: what it is given and what there is are told instead."""
    cluster = toy_config(tmp_path).cluster.model_copy(update={"cpus": 0.5, "gpus": 99.0})
    assert room_for(cluster) == 0
    assert no_room(cluster) == (
        f"cluster = 'local': a trial is given CPU 0.5, GPU 99, but this machine has CPU {room}, GPU 0."
    )


def test_a_share_of_a_core_fits_as_often_as_it_should(tmp_path: Path, room: int) -> None:
    """Ten trials of a tenth of a core run on one core, though ten times 0.1 is not 1 in binary."""
    assert room_for(toy_config(tmp_path).cluster.model_copy(update={"cpus": 0.1})) == 10 * room
