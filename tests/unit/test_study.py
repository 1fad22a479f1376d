"""The ledger, on real sqlite: what is told comes back, and nothing else happened."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from support.bowl import NAME, finished, sweep, work
from support.toys import config as toy_config
from support.trials import PAPER, sides
from sweep.config.stored import load_stored_config
from sweep.errors import ConfigError
from sweep.records import State
from sweep.search import storage
from sweep.search.queue import pending_trials
from sweep.search.study import SweepStudy, TrialRequest, create_study, read_records, refuse_taken_name, reopen_study

FIRST = TrialRequest(phase="search", index=0, seed=0, setting=None)


def study(storage: Path, name: str = NAME) -> optuna.Study:
    """The study as anybody may open it."""
    return optuna.load_study(study_name=name, storage=f"sqlite:///{storage / NAME / 'study.db'}")


def test_a_record_comes_back_as_it_was_told(tmp_path: Path) -> None:
    """Everything that a worker reports, numbers that are not finite included, is in the ledger after a restart."""
    config = sweep(tmp_path)
    ledger = SweepStudy(config, NAME)
    asked = ledger.open_attempt(TrialRequest(phase="search", index=0, seed=5, setting=PAPER))
    metrics = {"score": 0.1 + 0.2, "forget/es": 0.0}
    curve = [{"epoch": 1.0, "loss": float("inf")}]
    told = ledger.close_attempt(
        replace(asked, state="finished", metrics=metrics, curve=curve, reason="worst", run_id="r1", worker="host:1")
    )
    assert SweepStudy(config, NAME).list_records() == [told]
    assert (told.metrics, told.curve, told.setting, told.seed) == (metrics, curve, PAPER, 5)
    assert 0 < told.started <= told.ended


@pytest.mark.parametrize("metrics", [{"score": float("nan")}, {"score": float("inf")}, {}])
def test_a_trial_without_a_score_has_failed(tmp_path: Path, metrics: dict[str, float]) -> None:
    """A score that is missing or not finite never reaches the sampler as a result."""
    ledger = SweepStudy(sweep(tmp_path), NAME)
    record = ledger.close_attempt(replace(ledger.open_attempt(FIRST), state="finished", metrics=metrics))
    assert (record.state, record.reason) == ("failed", "the trial gave no finite score")
    assert ledger.list_records()[0].state == "failed"


def test_a_collapse_is_a_result(tmp_path: Path) -> None:
    """A trial that diverged is complete for Optuna with its worst score, the reason beside it, and never run again."""
    config = sweep(tmp_path, search={"trials": 1})
    ledger = SweepStudy(config, NAME)
    reason = "the loss was not finite in epoch 1 of 4"
    ledger.close_attempt(
        replace(ledger.open_attempt(FIRST), state="finished", metrics={"score": 0.9, "mix": 0.0}, reason=reason)
    )
    (trial,) = study(tmp_path).trials
    assert (trial.state, trial.value, trial.user_attrs["end"]["reason"]) == (TrialState.COMPLETE, 0.9, reason)
    assert work(config)[0].reason == reason


def test_a_collapse_in_a_search_on_both_sides(tmp_path: Path) -> None:
    """Without ES of its own it has forgotten nothing and retains nothing: every useful trial dominates it."""
    ledger = SweepStudy(sweep(tmp_path, search={"sampler": "nsga2"}), NAME)
    ledger.close_attempt(
        replace(ledger.open_attempt(FIRST), state="finished", metrics={"score": 0.9, "mix": 0.0}, reason="NaN")
    )
    assert study(tmp_path).trials[0].values == [0.9, 0.0]


def test_both_sides_are_means_of_exact_and_paraphrased(tmp_path: Path) -> None:
    """Forget (.2 + .4) / 2 down, retain (.6 + 1) / 2 up; the score is not what this study is told."""
    ledger = SweepStudy(sweep(tmp_path, search={"sampler": "nsga2"}), NAME)
    metrics = {"score": 0.7, "forget/es": 0.2, "forget/es_paraphrase": 0.4}
    metrics |= {"retain/es": 0.6, "retain/es_paraphrase": 1.0}
    ledger.close_attempt(replace(ledger.open_attempt(FIRST), state="finished", metrics=metrics))
    found = study(tmp_path)
    assert found.trials[0].values == pytest.approx([0.3, 0.8])
    assert [direction.name for direction in found.directions] == ["MINIMIZE", "MAXIMIZE"]


def test_a_stopped_trial_is_pruned(tmp_path: Path) -> None:
    """The second of two trials is worse after epoch 2: Optuna is told PRUNED, its ES there never as a result."""
    ledger = SweepStudy(sweep(tmp_path, search={"stop": "asha"}), NAME)
    for index, forget in enumerate((0.4, 0.5)):
        asked = ledger.open_attempt(replace(FIRST, index=index))
        grown = replace(asked, curve=[{"epoch": 2, **sides(forget, 1.0)}])
        assert ledger.should_prune(grown) == (index == 1)
        ledger.close_attempt(finished(grown) if index == 0 else replace(grown, state="pruned", reason="it lags"))
    trial = study(tmp_path).trials[1]
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {2: 0.5})
    assert study(tmp_path).best_trial.number == 0
    record = ledger.list_records()[1]
    assert (record.state, record.reason, record.metrics) == ("pruned", "it lags", {})


def test_a_trial_that_is_tried_again_is_judged_again(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """After its process died it comes to epoch 2 a second time: the same word, and nothing is printed."""
    ledger = SweepStudy(sweep(tmp_path, search={"stop": "asha"}), NAME)
    grown = replace(ledger.open_attempt(FIRST), curve=[{"epoch": 2, **sides(0.4, 1.0)}])
    assert [ledger.should_prune(grown), ledger.should_prune(grown)] == [False, False]
    assert not recwarn.list


def test_an_interrupted_sweep_has_nothing_running(tmp_path: Path) -> None:
    """Open attempts end as failed, with that reason; so do those of a driver that was killed."""
    config = sweep(tmp_path)
    ledger = SweepStudy(config, NAME)
    ledger.open_attempt(FIRST)
    ledger.fail_open_attempts()
    ledger.open_attempt(replace(FIRST, index=1))
    records = SweepStudy(config, NAME).list_records()
    assert [(r.index, r.state, r.reason) for r in records] == [
        (0, "failed", "interrupted"),
        (1, "failed", "interrupted"),
    ]


@pytest.mark.parametrize("state", ["finished", "pruned", "failed"])
def test_a_driver_that_dies_before_it_tells(tmp_path: Path, state: State) -> None:
    """Where a trial's end was kept nothing of it is lost: it is told as it ended, and run again only if it failed."""
    config = sweep(tmp_path, search={"trials": 1})
    asked = SweepStudy(config, NAME).open_attempt(FIRST)
    ended = replace(finished(asked), state=state, reason="why", ended=asked.started + 1)
    found = study(tmp_path)
    storage.save_record_part(optuna.Trial(found, found.trials[0]._trial_id), ended, "end")
    assert found.trials[0].state == TrialState.RUNNING
    assert read_records(config, NAME) == SweepStudy(config, NAME).list_records() == [ended]
    (trial,) = study(tmp_path).trials
    assert trial.state == storage.OPTUNA_STATES[state]
    assert trial.value == (ended.score if state == "finished" else None)
    assert [task.index for task in pending_trials(config, None, SweepStudy(config, NAME)) if task] == [0] * (
        state == "failed"
    )


def test_what_is_told_is_on_the_disk(tmp_path: Path) -> None:
    """SQLite waits for the disk at every commit (2 is FULL), so that a machine that loses power loses no trial."""
    config = sweep(tmp_path)
    SweepStudy(config, NAME)
    with storage._open_database(config, NAME).engine.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2


def test_a_driver_that_dies_while_it_makes_the_folder(tmp_path: Path) -> None:
    """What it left is in nobody's way: the same command makes the sweep, and nothing of it stays."""
    config = toy_config(tmp_path)
    half = tmp_path / f".{NAME}.new"
    half.mkdir()
    (half / "config.yaml").write_text("objective: wtn")
    with create_study(config, NAME):
        assert load_stored_config(tmp_path, NAME) == config
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_peek_closes_nothing(tmp_path: Path) -> None:
    """While another process runs the sweep its trials are seen as they are, and go on."""
    config = toy_config(tmp_path)
    with create_study(config, NAME) as ledger:
        asked = ledger.open_attempt(FIRST)
        assert read_records(config, NAME) == [asked]
        told = ledger.close_attempt(finished(asked))
        assert read_records(config, NAME) == ledger.list_records() == [told]


def test_a_peek_makes_nothing(tmp_path: Path) -> None:
    """A sweep without a ledger has no records, and still no ledger afterwards; nor has a stranger in a database."""
    config = sweep(tmp_path)
    assert read_records(config, NAME) == []
    assert list((tmp_path / NAME).iterdir()) == []
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    shared = sweep(tmp_path, ledger=url)
    SweepStudy(shared, "other")
    assert read_records(shared, NAME) == []
    assert sorted(optuna.get_all_study_names(url)) == ["other", "other/finalists", "other/race"]


def test_finalists_do_not_reach_the_sampler(tmp_path: Path) -> None:
    """The search's study holds the search's trials alone."""
    work(sweep(tmp_path, search={"race": 2}, seeds=2))
    counts = {name: len(study(tmp_path, name).trials) for name in (NAME, f"{NAME}/race", f"{NAME}/finalists")}
    assert counts == {NAME: 3, f"{NAME}/race": 2, f"{NAME}/finalists": 4}


def test_two_drivers_are_refused(tmp_path: Path) -> None:
    """The second to open a sweep is refused at once; after the first has gone it is let in."""
    config = toy_config(tmp_path)
    with (
        create_study(config, NAME),
        pytest.raises(ConfigError, match="another process is running this sweep"),
        reopen_study(config, NAME),
    ):
        pass
    with reopen_study(config, NAME) as ledger:
        assert ledger.list_records() == []


def test_a_name_is_taken_by_its_folder_or_its_study(tmp_path: Path) -> None:
    """A folder of that name, or a study of that name in a shared database, is in the way; nothing is made then."""
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    first = toy_config(tmp_path / "first", ledger=shared)
    with create_study(first, NAME):
        pass
    second = toy_config(tmp_path / "second", ledger=shared)
    for config in (first, second):
        with pytest.raises(ConfigError, match=f"name = '{NAME}' exists"):
            refuse_taken_name(config, NAME)
    refuse_taken_name(second, "other")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("url", ["nosuch://x/y", "not a url", "sqlite:////nosuch/folder/x.db"])
def test_a_ledger_that_cannot_be_opened_is_one_sentence(tmp_path: Path, url: str) -> None:
    """A ledger's mistake names the key and leaves no folder."""
    with (
        pytest.raises(ConfigError, match=r"^ledger = .* cannot be opened"),
        create_study(toy_config(tmp_path, ledger=url), NAME),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """The storage must be a folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="must be a writable folder"):
        refuse_taken_name(toy_config(tmp_path / "file"), NAME)


def test_a_broken_ledger_is_loud(tmp_path: Path) -> None:
    """A database that is gone raises where a trial ends; the result is not dropped."""
    config = sweep(tmp_path)
    ledger = SweepStudy(config, NAME)
    asked = ledger.open_attempt(FIRST)
    with suppress(FileNotFoundError):
        (tmp_path / NAME / "study.db").write_bytes(b"not a database")
    with pytest.raises(optuna.exceptions.StorageInternalError):
        ledger.close_attempt(finished(asked))
