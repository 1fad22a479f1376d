"""The ledger and the agenda, on real sqlite: a sweep that stopped anywhere goes on as if it had not."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import optuna
import pytest
from toys import config as toy_config

from sweep.agenda import FINALISTS, agenda, best, planned, reachable
from sweep.config import ConfigError, SweepConfig
from sweep.ledger import Ledger, Task, created, refuse_taken, reopened
from sweep.record import Record, Setting
from sweep.search import Search, StudySearcher

NAME = "toy"
PAPER: Setting = {"alpha": 1.5, "beta": 7.0}
OUTSIDE: Setting = {"alpha": 9.0, "beta": 7.0}


def score(setting: Setting) -> float:
    """A bowl with its lowest point, 0, at alpha 2, beta 3."""
    alpha, beta = float(setting["alpha"]), float(setting["beta"])
    return (alpha - 2) ** 2 / 25 + (beta - 3) ** 2 / 100


def finished(record: Record) -> Record:
    """The record as a worker would report it at the end."""
    return replace(record, state="finished", metrics={"score": score(record.setting)}, curve=[{"epoch": 1}])


def sweep(tmp_path: Path, **blocks: object) -> SweepConfig:
    """A toy sweep with a folder for its ledger."""
    (tmp_path / NAME).mkdir(exist_ok=True)
    return toy_config(tmp_path, **blocks)


def work(config: SweepConfig, paper: Setting | None = PAPER, trials: int = 1000) -> list[Record]:
    """One worker runs up to so many trials of what is left, then the process ends."""
    ledger = Ledger(config, NAME)
    for task in islice(agenda(config, paper, ledger), trials):
        assert task is not None, "one worker never waits"
        ledger.end(finished(ledger.ask(task)))
    return ledger.records()


def settings(records: list[Record]) -> list[tuple[str, int, int, Setting]]:
    """What tells trials apart."""
    return [(record.phase, record.index, record.seed, record.setting) for record in records]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """A sweep of 24 trials and its finalists that nobody interrupted."""
    return work(sweep(tmp_path_factory.mktemp("whole"), search={"sampler": "tpe", "trials": 24}, seeds=1))


def test_a_resumed_sweep_asks_the_same_settings(tmp_path: Path, whole: list[Record]) -> None:
    """One worker, stopped after 1, 7, 8, 13, 23 and 26 trials: all settings and seeds are those of a whole sweep."""
    config = sweep(tmp_path, search={"sampler": "tpe", "trials": 24}, seeds=1)
    for trials in (1, 6, 1, 5, 10, 3):
        assert len(work(config, trials=trials)) < len(whole)
    assert settings(work(config)) == settings(whole)


def test_a_trial_in_flight_is_run_again(tmp_path: Path, whole: list[Record]) -> None:
    """Killed in trial 0, 7, 12, 20 and in a repeat: each is run again under its index and seed with its setting."""
    config = sweep(tmp_path, search={"sampler": "tpe", "trials": 24}, seeds=1)
    for trials in (0, 7, 5, 8, 5):
        work(config, trials=trials)
        ledger = Ledger(config, NAME)
        task = next(agenda(config, PAPER, ledger))
        assert task is not None
        killed = ledger.ask(task)
        assert next(agenda(config, PAPER, Ledger(config, NAME))) == task_of(killed)
    assert settings(work(config)) == settings(whole)


def test_a_driver_that_dies_while_it_asks_leaves_no_trial(tmp_path: Path, whole: list[Record]) -> None:
    """An Optuna trial without our index is nobody's: the sweep is the same without it."""
    config = sweep(tmp_path, search={"sampler": "tpe", "trials": 24}, seeds=1)
    for trials in (3, 9):
        work(config, trials=trials)
        optuna.load_study(study_name=NAME, storage=f"sqlite:///{tmp_path / NAME / 'study.db'}").ask()
    assert settings(work(config)) == settings(whole)


def task_of(record: Record) -> Task:
    """The task that runs the record's trial again."""
    return Task(phase=record.phase, index=record.index, seed=record.seed, setting=record.setting)


def test_nothing_is_left_after_a_whole_sweep(tmp_path: Path) -> None:
    """3 search trials, then 2 finalists and the paper's on 2 seeds: 3 + 3·2 = 9; a second run has nothing to do."""
    config = sweep(tmp_path, seeds=2)
    assert len(work(config)) == planned(config, PAPER) == 9
    assert list(agenda(config, PAPER, Ledger(config, NAME))) == []


def test_random_search_is_resumed_too(tmp_path: Path) -> None:
    """The random sampler's settings depend on seed and index alone."""
    first, second = (sweep(tmp_path / part, search={"sampler": "random", "trials": 6}) for part in parts(tmp_path))
    work(second, trials=2)
    assert settings(work(first)) == settings(work(second))


def parts(tmp_path: Path) -> Iterator[str]:
    """Two storages."""
    for part in ("first", "second"):
        (tmp_path / part).mkdir()
        yield part


def test_another_seed_asks_other_settings(tmp_path: Path) -> None:
    """Only the paper's setting, which comes first, is the same under two seeds."""
    first, second = (work(sweep(tmp_path / part, seed=seed)) for seed, part in enumerate(parts(tmp_path)))
    same = [a.setting == b.setting for a, b in zip(first, second, strict=True)]
    assert same == [True, False, False]


def test_the_paper_comes_first_where_the_space_holds_it(tmp_path: Path) -> None:
    """Index 0 is the paper's setting; one outside the space is a finalist all the same."""
    config = sweep(tmp_path, seeds=1)
    records = work(config, paper=OUTSIDE)
    searched = [record.setting for record in records if record.phase == "search"]
    repeated = [record.setting for record in records if record.phase == "finalist"]
    assert OUTSIDE not in searched
    assert repeated[0] == OUTSIDE


def test_what_the_space_reaches(tmp_path: Path) -> None:
    """Inside; outside a range; with another value fixed; with a value that the paper does not speak of."""
    config = sweep(tmp_path)
    assert reachable(config, PAPER)
    assert not reachable(config, OUTSIDE)
    assert not reachable(config, None)
    fixed = sweep(tmp_path, space={"beta": {"low": 1, "high": 9}}, fixed={"alpha": 2.0})
    assert not reachable(fixed, PAPER)
    assert reachable(fixed, {"alpha": 2.0, "beta": 7.0})
    more = sweep(tmp_path, fixed={"retain.weight": 0.3})
    assert not reachable(more, PAPER)


def test_finalists_share_their_seeds(tmp_path: Path) -> None:
    """The paper's and the 2 best others, each on seeds 1 and 2, in this order; the search is all on seed 0."""
    config = sweep(tmp_path, search={"sampler": "tpe", "trials": 6}, seeds=2)
    records = work(config)
    searched = sorted((r for r in records if r.phase == "search" and r.setting != PAPER), key=lambda r: r.score)
    expected = [(setting, seed) for setting in [PAPER, searched[0].setting, searched[1].setting] for seed in (1, 2)]
    assert [(r.setting, r.seed) for r in records if r.phase == "finalist"] == expected
    assert {r.seed for r in records if r.phase == "search"} == {0}


def test_the_best_are_distinct_and_did_not_diverge() -> None:
    """By score: .1 diverged, .2 twice the same setting, .3 the paper's, .4, .5 failed: .2 and .4 remain."""
    rows = [(0.1, 0, "diverged"), (0.2, 1, ""), (0.2, 1, ""), (0.3, 2, ""), (0.4, 3, ""), (0.5, 4, "")]
    records = [
        Record(
            phase="search",
            index=index,
            setting={"alpha": alpha},
            seed=0,
            state="failed" if value == 0.5 else "finished",
            metrics={"score": value},
            reason=reason,
        )
        for index, (value, alpha, reason) in enumerate(rows)
    ]
    assert best(records, paper={"alpha": 2}) == [{"alpha": 1}, {"alpha": 3}]
    assert len(best(records, paper=None)) == FINALISTS


def test_the_best_wait_for_the_last_search_trial(tmp_path: Path) -> None:
    """With a search trial under way the paper's repeats are handed out, then nothing until the trial is over."""
    config = sweep(tmp_path, seeds=1)
    ledger = Ledger(config, NAME)
    tasks = agenda(config, PAPER, ledger)
    running = [ledger.ask(task) for task in islice(tasks, 3) if task is not None]
    ledger.end(finished(running[0]))
    ledger.end(finished(running[1]))
    repeat = next(tasks)
    assert repeat is not None
    assert repeat.setting == PAPER
    assert next(tasks) is None
    ledger.end(replace(running[2], state="failed", reason="it broke"))
    assert next(tasks) is not None


def test_a_failed_trial_is_run_again_only_when_resumed(tmp_path: Path) -> None:
    """Its setting, index and seed come again in the next run; the last attempt counts."""
    config = sweep(tmp_path, search={"sampler": "tpe", "trials": 2})
    ledger = Ledger(config, NAME)
    for task in agenda(config, PAPER, ledger):
        assert task is not None
        ledger.end(replace(ledger.ask(task), state="failed", reason=f"broke at {task.index}"))
    failed = ledger.records()
    assert [(r.state, r.reason) for r in failed] == [("failed", "broke at 0"), ("failed", "broke at 1")]
    again = work(config)
    assert settings(again) == settings(failed)
    assert [record.state for record in again] == ["finished", "finished"]


def test_a_record_comes_back_as_it_was_told(tmp_path: Path) -> None:
    """Everything that a worker reports, numbers that are not finite included, is in the ledger after a restart."""
    config = sweep(tmp_path)
    ledger = Ledger(config, NAME)
    asked = ledger.ask(Task(phase="search", index=0, seed=5, setting=PAPER))
    metrics = {"score": 0.1 + 0.2, "forget/es": 0.0}
    curve = [{"epoch": 1.0, "loss": float("inf")}]
    told = ledger.end(
        replace(asked, state="finished", metrics=metrics, curve=curve, reason="worst", run_id="r1", worker="host:1")
    )
    assert Ledger(config, NAME).records() == [told]
    assert (told.metrics, told.curve, told.setting, told.seed) == (metrics, curve, PAPER, 5)
    assert 0 < told.started <= told.ended


@pytest.mark.parametrize("metrics", [{"score": float("nan")}, {"score": float("inf")}, {}])
def test_a_trial_without_a_score_has_failed(tmp_path: Path, metrics: dict[str, float]) -> None:
    """A score that is missing or not finite never reaches the sampler as a result."""
    ledger = Ledger(sweep(tmp_path), NAME)
    asked = ledger.ask(Task(phase="search", index=0, seed=0, setting=None))
    record = ledger.end(replace(asked, state="finished", metrics=metrics))
    assert (record.state, record.reason) == ("failed", "the trial gave no finite score")
    assert ledger.records()[0].state == "failed"


def test_an_interrupted_sweep_has_nothing_running(tmp_path: Path) -> None:
    """Open attempts end as failed, with that reason; so do those of a driver that was killed."""
    config = sweep(tmp_path)
    ledger = Ledger(config, NAME)
    ledger.ask(Task(phase="search", index=0, seed=0, setting=None))
    ledger.interrupt()
    ledger.ask(Task(phase="search", index=1, seed=0, setting=None))
    records = Ledger(config, NAME).records()
    assert [(r.index, r.state, r.reason) for r in records] == [
        (0, "failed", "interrupted"),
        (1, "failed", "interrupted"),
    ]


def test_finalists_do_not_reach_the_sampler(tmp_path: Path) -> None:
    """The search's study holds the search's trials alone."""
    config = sweep(tmp_path, seeds=2)
    work(config)
    storage = f"sqlite:///{tmp_path / NAME / 'study.db'}"
    counts = {
        name: len(optuna.load_study(study_name=name, storage=storage).trials) for name in (NAME, f"{NAME}/finalists")
    }
    assert counts == {NAME: 3, f"{NAME}/finalists": 6}


def test_two_drivers_are_refused(tmp_path: Path) -> None:
    """The second to open a sweep is refused at once; after the first has gone it is let in."""
    config = toy_config(tmp_path)
    with (
        created(config, NAME),
        pytest.raises(ConfigError, match="another process is running this sweep"),
        reopened(config, NAME),
    ):
        pass
    with reopened(config, NAME) as ledger:
        assert ledger.records() == []


def test_a_name_is_taken_by_its_folder_or_its_study(tmp_path: Path) -> None:
    """A folder of that name, or a study of that name in a shared database, is in the way; nothing is made then."""
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    first = toy_config(tmp_path / "first", ledger=shared)
    with created(first, NAME):
        pass
    second = toy_config(tmp_path / "second", ledger=shared)
    for config in (first, second):
        with pytest.raises(ConfigError, match=f"name = '{NAME}' exists"):
            refuse_taken(config, NAME)
    refuse_taken(second, "other")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("url", ["nosuch://x/y", "not a url", "sqlite:////nosuch/folder/x.db"])
def test_a_ledger_that_cannot_be_opened_is_one_sentence(tmp_path: Path, url: str) -> None:
    """A ledger's mistake names the key and leaves no folder."""
    with (
        pytest.raises(ConfigError, match=r"^ledger = .* cannot be opened"),
        created(toy_config(tmp_path, ledger=url), NAME),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """The storage must be a folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="must be a folder to write in"):
        refuse_taken(toy_config(tmp_path / "file"), NAME)


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.events: list[tuple[str, int]] = []

    def trial_started(self, record: Record) -> None:
        """Remember it."""
        self.events.append(("started", record.index))

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """Remember it."""
        self.events.append((f"epoch {point['epoch']}", record.index))

    def trial_ended(self, record: Record) -> None:
        """Remember it."""
        self.events.append((record.state, record.index))


def test_the_searcher_keeps_what_workers_report(tmp_path: Path) -> None:
    """One trial reports a point and its end, one loses its process; then the searcher has nothing more to give."""
    config = sweep(tmp_path, search={"sampler": "tpe", "trials": 2})
    ledger, seen = Ledger(config, NAME), Seen()
    search = Search(
        ledger=ledger,
        tasks=agenda(config, PAPER, ledger),
        watchers=[seen],
        run_id_of=lambda record: f"run {record.index}",
    )
    searcher = StudySearcher([search], why=lambda trial: f"{trial} was killed")
    first, second = (searcher.suggest(trial)["record"] for trial in ("a", "b"))
    grown = replace(first, curve=[{"epoch": 1}])
    searcher.on_trial_result("a", {"record": grown})
    for _ in range(2):  # Tune repeats the last report.
        searcher.on_trial_result("a", {"record": finished(grown)})
    searcher.on_trial_complete("a", {"record": finished(grown)})
    searcher.on_trial_complete("b", error=True)
    assert searcher.suggest("c") == StudySearcher.FINISHED
    assert [(r.state, r.reason, r.run_id) for r in ledger.records()] == [
        ("finished", "", "run 0"),
        ("failed", "b was killed", "run 1"),
    ]
    assert seen.events == [("started", 0), ("started", 1), ("epoch 1", 0), ("finished", 0), ("failed", 1)]
    assert second.setting == ledger.records()[1].setting


def test_tpe_finds_the_bowl(whole: list[Record]) -> None:
    """After 8 random trials TPE looks nearer to the lowest point: its median score is less than half of theirs."""
    scores = [record.score for record in whole if record.phase == "search"]
    assert sorted(scores[8:])[8] < sorted(scores[:8])[4] / 2


def test_a_broken_ledger_is_loud(tmp_path: Path) -> None:
    """A database that is gone raises where a trial ends; the result is not dropped."""
    config = sweep(tmp_path)
    ledger = Ledger(config, NAME)
    asked = ledger.ask(Task(phase="search", index=0, seed=0, setting=None))
    with suppress(FileNotFoundError):
        (tmp_path / NAME / "study.db").write_bytes(b"not a database")
    with pytest.raises(optuna.exceptions.StorageInternalError):
        ledger.end(finished(asked))
