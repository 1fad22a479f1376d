"""What a sweep learns from earlier ones, and from which it refuses to."""

import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from support.bowl import NAME, finished, score, settings, sweep, work
from sweep.config.compose import dump
from sweep.config.schema import SweepConfig
from sweep.config.stored import CONFIG_FILE, VERSION, dump_stored_config, load_stored_config
from sweep.errors import ConfigError
from sweep.records import TrialRecord
from sweep.search.queue import pending_trials
from sweep.search.storage import DATABASE_FILE
from sweep.search.study import SweepStudy, TrialRequest, read_records
from sweep.search.warm_start import validate_warm_start

EARLIER = "earlier"
ALPHA = {"low": 0.0, "high": 5.0}
SATIMP = {"beta1": {"low": 0.0, "high": 5.0}, "beta2": {"low": 0.0, "high": 5.0}}
NEXT = TrialRequest(phase="search", index=0, seed=0, setting=None)


def kept(storage: Path, name: str = EARLIER, **blocks: Any) -> SweepConfig:
    """A sweep with its configuration in its folder, as the command line leaves it."""
    config = sweep(storage, name, **blocks)
    (storage / name / CONFIG_FILE).write_text(dump_stored_config(config), encoding="utf-8")
    return config


def earlier(storage: Path, trials: int = 12, **blocks: Any) -> SweepConfig:
    """An earlier sweep that is over."""
    default: dict[str, Any] = {"search": {"trials": trials, "sampler": "random"}, "seed": 3, "seeds": 1}
    config = kept(storage, **default | blocks)
    work(config, paper=None, name=EARLIER)
    return config


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of an earlier sweep of 12 trials."""
    storage = tmp_path_factory.mktemp("over")
    earlier(storage)
    return storage


@pytest.fixture
def storage(tmp_path: Path, over: Path) -> Path:
    """A storage that holds a copy of it."""
    kept(tmp_path, search={"trials": 12, "sampler": "random"}, seed=3, seeds=1)
    shutil.copy(over / EARLIER / DATABASE_FILE, tmp_path / EARLIER / DATABASE_FILE)
    return tmp_path


def warm(storage: Path, **blocks: Any) -> SweepConfig:
    """A sweep that learns from the earlier one."""
    default: dict[str, Any] = {"search": {"trials": 4, "warm_start": [EARLIER]}}
    return sweep(storage, **default | blocks)


def study(storage: Path) -> optuna.Study:
    """The new sweep's search, as Optuna sees it."""
    return optuna.load_study(study_name=NAME, storage=f"sqlite:///{storage / NAME / 'study.db'}")


def test_the_sampler_knows_what_was_found_before(storage: Path) -> None:
    """The search's 12 trials, not the finalists', are in the study with their scores, and none is a record."""
    ledger = SweepStudy(warm(storage), NAME)
    assert ledger.list_records() == []
    found = [(trial.user_attrs["source"], trial.value, score(trial.params)) for trial in study(storage).trials]
    assert [source for source, _, _ in found] == [f"{EARLIER}/{index}" for index in range(12)]
    assert all(value == pytest.approx(expected) for _, value, expected in found)


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 6), ("gp", 2), ("auto", 2)])
def test_the_first_trial_is_no_longer_random(storage: Path, sampler: str, trials: int) -> None:
    """With 12 known trials it proposes at once: index 0 is another setting than a cold sweep's, and a better one."""
    cold = work(sweep(storage / "cold", search={"trials": trials, "sampler": sampler}), paper=None)
    search = {"trials": trials, "sampler": sampler, "warm_start": [EARLIER]}
    learnt = work(warm(storage, search=search), paper=None)
    assert [record.index for record in learnt] == list(range(trials))
    assert sum(record.score for record in learnt) < sum(record.score for record in cold) / 2


def test_what_is_known_is_not_asked_again(tmp_path: Path) -> None:
    """Two trials are too few for a model: the next are random, but not those of the earlier sweep, of the same seed."""
    known = work(earlier(tmp_path, trials=2, seed=0), paper=None, name=EARLIER)
    learnt = work(warm(tmp_path, seed=0), paper=None)
    assert not [record for record in learnt if record.setting in [one.setting for one in known]]


def test_a_resumed_sweep_learns_once(storage: Path) -> None:
    """Opened again after 2 trials, with the earlier sweep gone: 12 + 2 trials, and it goes on as a whole one would."""
    whole = work(warm(storage), paper=None)
    (storage / "parts").mkdir()
    (storage / EARLIER).rename(storage / "parts" / EARLIER)
    config = warm(storage / "parts")
    work(config, paper=None, trials=2)
    (storage / "parts" / EARLIER / CONFIG_FILE).unlink()
    assert len(study(storage / "parts").trials) == 14
    assert settings(work(config, paper=None)) == settings(whole)


def test_a_driver_that_dies_while_it_learns_goes_on(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that was given 5 of the 12 trials is given the other 7, each once."""
    config = warm(storage)
    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "add_trials", killed_after_5)
        with pytest.raises(KeyboardInterrupt):
            SweepStudy(config, NAME)
    assert len(study(storage).trials) == 5
    SweepStudy(config, NAME)
    assert [trial.user_attrs["source"] for trial in study(storage).trials] == [f"{EARLIER}/{i}" for i in range(12)]


def killed_after_5(study: optuna.Study, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
    """What Optuna does, if the process is killed in the middle of it."""
    for trial in trials[:5]:
        study.add_trial(trial)
    raise KeyboardInterrupt


def test_a_collapse_is_worth_knowing(tmp_path: Path) -> None:
    """A diverged trial with its worst score is learned from; a failed one, and one still running, are not."""
    config = kept(tmp_path)
    ledger = SweepStudy(config, EARLIER)
    asked = [ledger.open_attempt(replace(NEXT, index=index)) for index in range(4)]
    ledger.close_attempt(replace(asked[0], state="finished", metrics={"score": 0.9, "mix": 0.0}, reason="NaN"))
    ledger.close_attempt(finished(asked[1]))
    ledger.close_attempt(replace(asked[2], state="failed", reason="it broke"))
    SweepStudy(warm(tmp_path), NAME)
    assert [trial.user_attrs["source"] for trial in study(tmp_path).trials] == [f"{EARLIER}/0", f"{EARLIER}/1"]
    assert study(tmp_path).trials[0].value == 0.9


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"objective": "satimp", "space": SATIMP}, "objective is 'satimp' in earlier and 'wtnpo' here"),
        ({"fixed": {"retain.weight": 0.5}}, "fixed.retain.weight is 0.5 in earlier and absent here"),
        ({"score": {"tau": 0.9}}, "score.tau is 0.9 in earlier and 0.95 here"),
        ({"retain": {"term": "nll", "weight": 1.0, "reduction": "tokens"}}, "retain.term is 'nll'"),
        ({"train": {"lr": 0.5}}, "train.lr is 0.5 in earlier and 0.01 here: its scores are not comparable."),
        ({"search": {"trials": 12, "epochs": "best"}}, "search.epochs is 'best' in earlier and 'last' here"),
    ],
)
def test_another_question_is_refused(tmp_path: Path, theirs: dict[str, Any], said: str) -> None:
    """The first key that differs is named with both values; nothing is made."""
    config = kept(tmp_path, **theirs)
    ledger = SweepStudy(config, EARLIER)
    ledger.close_attempt(finished(ledger.open_attempt(NEXT)))
    with pytest.raises(ConfigError) as caught:
        validate_warm_start(warm(tmp_path))
    assert str(caught.value).startswith(f"search.warm_start: {said}")


WIDE, NARROW, FIXED = (
    {"alpha": {"low": 0.0, "high": 9.0}, "beta": {"low": 0.1, "high": 20.0}},
    {"alpha": {"low": 0.0, "high": 2.5}, "beta": {"low": 0.25, "high": 10.0, "log": True}},
    {"alpha": {"choices": (7.0,)}, "beta": {"low": 0.25, "high": 10.0}},
)


def test_another_space_keeps_the_trials_inside(storage: Path) -> None:
    """All in a wider one, on another scale; in a narrower one those up to its end, and a line counts the others."""
    known = [record.setting for record in load_records(storage)]
    wide = warm(storage, space=WIDE)
    assert validate_warm_start(wide) == []
    SweepStudy(wide, NAME)
    assert [trial.params for trial in study(storage).trials] == known
    inside = [setting for setting in known if float(setting["alpha"]) <= 2.5]
    narrow = sweep(storage, "narrow", search={"trials": 4, "warm_start": [EARLIER]}, space=NARROW)
    (line,) = validate_warm_start(narrow)
    n_outside = len(known) - len(inside)
    assert 0 < n_outside < 12
    assert line == (
        f"search.warm_start: {len(inside)} of 12 trials of earlier lie in this space; {n_outside} outside are left out"
    )
    SweepStudy(narrow, "narrow")
    there = optuna.load_study(study_name="narrow", storage=f"sqlite:///{storage / 'narrow' / 'study.db'}")
    assert [trial.params for trial in there.trials] == inside
    with pytest.raises(ConfigError, match="none of the 12 trials of earlier lies in this space"):
        validate_warm_start(warm(storage, space=FIXED))


def test_a_space_may_have_more_dimensions_or_fewer(storage: Path) -> None:
    """A learning rate that is searched here had its one value there, 0.01; alpha, searched there, is fixed here."""
    more = warm(storage, space={**WIDE, "train.lr": {"low": 0.001, "high": 0.1, "log": True}})
    assert validate_warm_start(more) == []
    SweepStudy(more, NAME)
    assert {trial.params["train.lr"] for trial in study(storage).trials} == {0.01}
    with pytest.raises(ConfigError, match="none of the 12 trials"):
        validate_warm_start(warm(storage, space={**WIDE, "train.lr": {"low": 0.1, "high": 0.2}}))
    one = load_records(storage)[3].setting
    fewer = warm(storage, space={"beta": WIDE["beta"]}, fixed={"alpha": one["alpha"]})
    (line,) = validate_warm_start(fewer)
    assert "1 of 12 trials of earlier lie in this space; 11 outside" in line


def load_records(storage: Path) -> list[TrialRecord]:
    """The trials of the earlier sweep."""
    records = read_records(load_stored_config(storage, EARLIER), EARLIER)
    return [record for record in records if record.phase == "search"]


def test_what_only_changes_the_speed_is_no_other_question(tmp_path: Path) -> None:
    """Checkpointing, the split into passes, the cluster and the seed leave scores comparable."""
    earlier(tmp_path, trials=1, train={"checkpointing": True, "tokens": 100})
    validate_warm_start(warm(tmp_path, seed=5))


def test_an_unknown_name_has_a_nearest(tmp_path: Path) -> None:
    """Told before anything is prepared."""
    earlier(tmp_path, trials=1)
    with pytest.raises(ConfigError, match=r"^search\.warm_start: earlyer: .* has no sweep .* \(nearest: earlier\)"):
        validate_warm_start(warm(tmp_path, search={"trials": 4, "warm_start": ["earlyer"]}))


def test_a_sweep_without_results_is_refused(tmp_path: Path) -> None:
    """It may have been made, and may even run: there is nothing to learn yet."""
    config = kept(tmp_path)
    for _ in range(2):
        with pytest.raises(ConfigError, match="earlier has no finished trial of its search yet"):
            validate_warm_start(warm(tmp_path))
        next(iter(pending_trials(config, None, SweepStudy(config, EARLIER))))


@pytest.mark.parametrize(
    ("line", "found", "version"), [("", "1", "0.1.0"), ("# written by version 0.9.1, format 7\n", "7", "0.9.1")]
)
def test_a_sweep_of_another_format_is_refused(tmp_path: Path, line: str, found: str, version: str) -> None:
    """Version 0.1.0 told no format: warm start, and what resume, sync and report begin with, name who reads it."""
    config = earlier(tmp_path, trials=1)
    (tmp_path / EARLIER / CONFIG_FILE).write_text(f"{line}{dump(config)}")
    said = f"earlier has format {found}, which version {version} of this program reads; this is version 0.3.0, which"
    with pytest.raises(ConfigError, match=rf"^search\.warm_start: {said}"):
        validate_warm_start(warm(tmp_path))
    with pytest.raises(ConfigError, match=f"^{said}"):
        load_stored_config(tmp_path, EARLIER)


def test_the_version_is_the_projects() -> None:
    """The one that a study is given is pyproject.toml's."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION


def test_scores_of_another_definition_are_refused(tmp_path: Path) -> None:
    """A study that says nothing, or something else, of what its scores are comes from another version."""
    earlier(tmp_path, trials=1)
    theirs = optuna.load_study(study_name=EARLIER, storage=f"sqlite:///{tmp_path / EARLIER / 'study.db'}")
    assert "forget ES" in theirs.user_attrs["score"]
    validate_warm_start(warm(tmp_path))
    theirs.set_user_attr("score", "raw forget ES")
    with pytest.raises(ConfigError, match="a program version that defined the score differently"):
        validate_warm_start(warm(tmp_path))
