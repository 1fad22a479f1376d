"""Every sampler on every kind of space: it stays inside, and a resumed sweep asks what a whole one would."""

import math
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, get_args

import pytest
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from pydantic import ValidationError

from support.bowl import NAME, grown, score, settings, sweep, work
from support.toys import SHAPE, TEMPLATE
from support.trials import PAPER, sweep_of
from sweep.config.schema import SearchConfig
from sweep.config.space import validate_space
from sweep.records import Setting
from sweep.search.queue import count_search_trials, pending_trials
from sweep.search.samplers import SAMPLERS, SamplerSpec
from sweep.search.storage import load_existing_studies
from sweep.search.study import SweepStudy

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
TRIALS = 12
"""So many that TPE has its model, after 8 random settings, and NSGA-II a second generation of 6."""
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


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_takes_every_space(tmp_path: Path, sampler: str, space: str) -> None:
    """Each value is one of the choices, or lies within its range, on its step; the paper's setting may come first."""
    entries, paper = SPACES[space]
    config = sweep(
        tmp_path,
        objective="rmu" if space == "rmu" else "wtnpo",
        model=MODEL,
        space=entries,
        search={"sampler": sampler, "trials": TRIALS},
        ledger="sqlite:///:memory:",
    )
    validate_space(config)
    records = work(config, paper)
    assert all(inside(entry, record.setting[name]) for record in records for name, entry in entries.items())
    assert (records[0].setting == paper) or sampler == "grid"
    if sampler not in ("grid", "paper"):
        assert len(records) == TRIALS


@pytest.mark.parametrize(
    "search", [*({"sampler": sampler} for sampler in SAMPLERS), {"sampler": "tpe", "stop": "asha"}], ids=str
)
def test_a_resumed_sweep_asks_the_same_settings(tmp_path: Path, search: dict[str, Any]) -> None:
    """One worker, killed in trials 1, 7 and 10 after two epochs: settings, seeds and ends are a whole sweep's."""
    blocks: dict[str, Any] = {"search": {"trials": 11, **search}, "seeds": 1}
    whole = work(sweep(tmp_path / "whole", **blocks))
    config = sweep(tmp_path / "parts", **blocks)
    for trials in (1, 6, 3):
        work(config, trials=trials)
        ledger = SweepStudy(config, NAME)
        for task in islice(pending_trials(config, PAPER, ledger), 1):
            assert task is not None
            ledger.should_prune(grown(ledger.open_attempt(task), 2))
    records = work(config)
    assert settings(records) == settings(whole)
    assert [record.state for record in records] == [record.state for record in whole]


def test_the_configuration_knows_every_sampler(tmp_path: Path) -> None:
    """The schema names the same samplers, and refuses early stopping to those that optimise two values."""
    assert get_args(SearchConfig.model_fields["sampler"].annotation) == tuple(SAMPLERS)
    for sampler, spec in SAMPLERS.items():
        if len(spec.directions) > 1:
            with pytest.raises(ValidationError, match="must have no stop"):
                sweep(tmp_path, search={"sampler": sampler, "stop": "asha"})


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


def test_tpe_finds_the_bowl(tmp_path: Path) -> None:
    """After 8 random trials TPE looks nearer to the lowest point: its median score is less than half of theirs."""
    scores = [score(record.setting) for record in work(sweep(tmp_path, search={"trials": 24}))]
    assert median(scores[8:]) < median(scores[:8]) / 2


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"warm_start": ["a"], "sampler": "grid"}, "must have no warm_start with sampler 'grid'"),
        ({"warm_start": ["a"], "sampler": "random"}, "must have no warm_start with sampler 'random'"),
        ({"stop": "asha", "sampler": "nsga2"}, "must have no stop with sampler 'nsga2'"),
        ({"trials": None}, "must have trials or hours, or both"),
    ],
)
def test_what_makes_no_sense_together_is_refused(tmp_path: Path, search: dict[str, Any], said: str) -> None:
    """A sampler that learns nothing takes no warm start; a search on both sides has no one score to stop by."""
    with pytest.raises(ValidationError, match=said):
        sweep(tmp_path, search=search)
