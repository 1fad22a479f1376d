"""Every sampler on every kind of space: it stays inside, and a resumed sweep asks what a whole one would."""

import math
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, get_args

import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import StudyDirection
from pydantic import ValidationError

from support.bowl import NAME, grown, score, settings, sweep, work
from support.toys import SHAPE, TEMPLATE
from support.trials import PAPER, sweep_of
from sweep.config.search_schema import SearchConfig
from sweep.config.space import validate_space
from sweep.records import Setting, TrialRecord
from sweep.results.csv_tables import format_trials_csv
from sweep.search.gp_sampler import GPSampler
from sweep.search.queue import count_search_trials, pending_trials
from sweep.search.samplers import SAMPLERS, SamplerSpec, build_sampler, choose_sampler
from sweep.search.storage import load_existing_studies, silence_optuna
from sweep.search.study import SweepStudy, TrialRequest

SPACES: dict[str, tuple[dict[str, Any], Setting]] = {
    "floats": (
        {"alpha": {"low": 0.0, "high": 5.0}, "beta": {"low": 0.25, "high": 10.0, "log": True}},
        {"alpha": 1.5, "beta": 7.0},
    ),
    "steps": (
        {"alpha": {"low": 0.0, "high": 5.0, "step": 2.5}, "beta": {"low": 1.0, "high": 4.0, "step": 1.0}},
        {"alpha": 2.5, "beta": 4.0},
    ),
    "choices": ({"alpha": {"choices": (0, 1.5, 5)}, "beta": {"choices": (1, 7)}}, {"alpha": 1.5, "beta": 7}),
    "one point": (
        {"alpha": {"low": 1.5, "high": 1.5}, "beta": {"low": 0.25, "high": 10.0, "log": True}},
        {"alpha": 1.5, "beta": 7.0},
    ),
    "training": (
        {
            "alpha": {"choices": (1.5,)},
            "beta": {"low": 1.0, "high": 9.0},
            "train.epochs": {"low": 1, "high": 4, "log": True},
        },
        {"alpha": 1.5, "beta": 7.0, "train.epochs": 3},
    ),
    "rmu": (
        {"layer": {"low": 1, "high": 3}, "c": {"low": 0.5, "high": 20.0}, "normalize": {"choices": (True, False)}},
        {"layer": 2, "c": 4.0, "normalize": False},
    ),
}
"""Each with a setting that stands for the paper's."""
TRIALS = {"auto": 9, "gp": 9}
"""So many that there is a model, after 8 random settings, by sampler; others get `ELSE`."""
ELSE = 12
"""So many that NSGA-II has a second generation of 6."""
MODEL = {
    "name": "toy",
    "path": None,
    "revision": None,
    "shape": SHAPE.model_dump() | {"layers": 4},
    "layers": 4,
    "deepest": 3,
    "template": TEMPLATE.model_dump(),
}


def inside(entry: dict[str, Any], value: Any) -> bool:
    """Whether the entry of a space holds the value, by its own type."""
    if "choices" in entry:
        return any(value == choice and type(value) is type(choice) for choice in entry["choices"])
    steps = (value - entry["low"]) / entry.get("step", 1)
    whole = "step" not in entry or math.isclose(steps, round(steps), abs_tol=1e-9)
    return type(value) is type(entry["low"]) and entry["low"] <= value <= entry["high"] and whole


@pytest.mark.parametrize(
    ("sampler", "space"),  # on the others auto is gp
    [(one, space) for one in SAMPLERS for space in SPACES if one != "gp" or space in ("choices", "rmu")],
)
def test_every_sampler_takes_every_space(tmp_path: Path, sampler: str, space: str) -> None:
    """Each value is one of the choices, or lies within its range, on its step; the paper's setting may come first."""
    entries, paper = SPACES[space]
    config = sweep(
        tmp_path,
        objective="rmu" if space == "rmu" else "wtnpo",
        model=MODEL,
        space=entries,
        search={"sampler": sampler, "trials": TRIALS.get(sampler, ELSE)},
        ledger="sqlite:///:memory:",
    )
    validate_space(config)
    records = work(config, paper)
    assert all(inside(entry, record.setting[name]) for record in records for name, entry in entries.items())
    assert (records[0].setting == paper) or sampler == "grid"
    if sampler not in ("grid", "paper"):
        assert len(records) == TRIALS.get(sampler, ELSE)


@pytest.mark.parametrize(
    "search",
    [*({"sampler": sampler} for sampler in SAMPLERS if sampler != "gp"), {"sampler": "auto", "stop": "asha"}],
    ids=str,  # auto is gp here
)
def test_a_resumed_sweep_asks_the_same_settings(tmp_path: Path, search: dict[str, Any]) -> None:
    """One worker, killed in trials 1, 7 and 10 after two epochs: settings, seeds and ends are a whole sweep's.

    A sweep of 3 trials that is over, with its report, and goes on to 11 has the same trials.csv, byte for byte. (A grid
    has other settings then.)
    """
    blocks: dict[str, Any] = {"search": {"trials": 11, **search}, "seeds": 1}
    whole = work(sweep(tmp_path / "whole", **blocks))
    config = sweep(tmp_path / "parts", **blocks)
    short = (
        config if search["sampler"] == "grid" else sweep(tmp_path / "parts", search={"trials": 3, **search}, seeds=1)
    )
    for one, trials in ((config, 1), (short, 1000), (config, 4), (config, 3)):
        work(one, trials=trials)
        ledger = SweepStudy(config, NAME)
        for task in islice(pending_trials(config, PAPER, ledger), 1):
            assert task is not None
            ledger.should_prune(grown(ledger.open_attempt(task), 2))
    records = work(config)
    assert format_trials_csv(records) == format_trials_csv(whole)
    assert [one for one in settings(whole) if one[0] == "search"] == settings(records)[: count_search_trials(config)]
    missing = [(one.phase, one.seed, one.setting, one.state) for one in whole]
    assert [one for one in missing if one not in [(r.phase, r.seed, r.setting, r.state) for r in records]] == []


def test_the_configuration_knows_every_sampler(tmp_path: Path) -> None:
    """The schema names the same samplers, and refuses early stopping to those that optimise two values."""
    assert get_args(SearchConfig.model_fields["sampler"].annotation) == tuple(SAMPLERS)
    for sampler, spec in SAMPLERS.items():
        if len(spec.directions) > 1:
            with pytest.raises(ValidationError, match="must have no stop"):
                sweep(tmp_path, search={"sampler": sampler, "stop": "asha"})


@pytest.mark.parametrize(
    ("index", "space", "search", "chosen"),
    [
        (0, "floats", {"trials": 3}, "gp"),
        (249, "floats", {"trials": 1000}, "gp"),
        (250, "floats", {"trials": 1000}, "tpe"),
        (250, "floats", {"trials": 251}, "tpe"),
        (8, "steps", {}, "gp"),
        (8, "choices", {}, "tpe"),
        (8, "rmu", {}, "tpe"),
        (8, "floats", {"stop": "asha"}, "tpe"),
        (900, "choices", {"sampler": "gp"}, "gp"),
        (0, "floats", {"sampler": "tpe"}, "tpe"),
    ],
)
def test_auto_chooses_by_index_and_space(
    tmp_path: Path, index: int, space: str, search: dict[str, Any], chosen: str
) -> None:
    """Numbers and the first 250 trials get the Gaussian process, however many trials there are; a name is a name."""
    config = sweep(tmp_path, space=SPACES[space][0], search={"sampler": "auto"} | search)
    assert choose_sampler(config, index) == chosen
    kind = {"gp": GPSampler, "tpe": TPESampler}[chosen]
    with silence_optuna():
        assert isinstance(build_sampler(config, index, None)._base_sampler, kind)  # type: ignore[attr-defined]


def test_the_gaussian_process_sees_what_runs(tmp_path: Path) -> None:
    """While its setting runs already, the same trial looks a tenth of the range away."""
    config = sweep(tmp_path, search={"sampler": "gp", "trials": 30})
    work(config, trials=8)
    alone = open_next(SweepStudy(config, NAME), 8).setting
    ledger = SweepStudy(config, NAME)
    open_next(ledger, 9, alone)
    beside = open_next(ledger, 8).setting
    alpha, beta = (float(beside["alpha"]) - float(alone["alpha"])) / 5, float(beside["beta"]) / float(alone["beta"])
    assert math.hypot(alpha, math.log(beta, 40)) > 0.1


def open_next(ledger: SweepStudy, index: int, setting: Setting | None = None) -> TrialRecord:
    """Open a search trial."""
    return ledger.open_attempt(TrialRequest(phase="search", index=index, seed=0, setting=setting))


def test_one_entry_makes_a_sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that begins with the paper's setting, on both sides: queue, study and results read it from the entry."""
    listed: list[Setting] = [PAPER, {"alpha": 2.0, "beta": 3.0}, {"alpha": 5.0, "beta": 1.0}]
    both = (StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE)
    spec = SamplerSpec(build=RandomSampler, directions=both, list_settings=lambda config: listed)
    monkeypatch.setitem(SAMPLERS, "random", spec)
    config = sweep(tmp_path, search={"sampler": "random", "trials": 9}, seeds=0)
    records = work(config)
    assert [record.setting for record in records] == listed
    assert count_search_trials(config) == 3
    study = load_existing_studies(config, NAME)["search"]
    assert tuple(study.directions) == both
    assert [len(trial.values) for trial in study.trials] == [2, 2, 2]
    assert sweep_of(config, records[:1]).found == records[0].setting


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 24), ("auto", 12)])
def test_a_model_finds_the_bowl(tmp_path: Path, sampler: str, trials: int) -> None:
    """After 8 random trials it looks nearer to the lowest point: its median score is less than half of theirs."""
    scores = [score(record.setting) for record in work(sweep(tmp_path, search={"sampler": sampler, "trials": trials}))]
    assert median(scores[8:]) < median(scores[:8]) / 2


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"warm_start": ["a"], "sampler": "grid"}, "must have no warm_start with sampler 'grid'"),
        ({"warm_start": ["a"], "sampler": "random"}, "must have no warm_start with sampler 'random'"),
        ({"stop": "asha", "sampler": "nsga2"}, "must have no stop with sampler 'nsga2'"),
        ({"stop": "asha", "sampler": "gp"}, "must have no stop with sampler 'gp', which does not see stopped trials"),
        ({"trials": None}, "must have trials or hours, or both"),
    ],
)
def test_what_makes_no_sense_together_is_refused(tmp_path: Path, search: dict[str, Any], said: str) -> None:
    """A sampler that learns nothing takes no warm start; a search on both sides has no one score to stop by."""
    with pytest.raises(ValidationError, match=said):
        sweep(tmp_path, search=search)
