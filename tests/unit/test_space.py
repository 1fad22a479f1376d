"""The space against the objective: what it must cover, what its values may be, and what Optuna draws from."""

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from objectives.ga import GA
from objectives.rmu import RMU
from objectives.wtnpo import WTNPO
from support.composing import load_shipped
from sweep.config.search_schema import Range
from sweep.config.space import build_distributions, build_objective, validate_space
from sweep.errors import ConfigError
from sweep.records import Setting


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        (
            "wtnpo",
            ["space.gamma={low: 0, high: 1}"],
            "space.gamma: objective wtnpo has no gamma: allowed are alpha, beta, retain.weight, train.lr, train.epochs",
        ),
        ("wtnpo", ["fixed.alhpa=1"], "fixed.alhpa: objective wtnpo has no alhpa"),
        ("wtnpo", ["fixed.alhpa=1"], "(nearest: alpha)."),
        ("wtnpo", ["fixed.batch=8"], "objective wtnpo has no batch"),
        ("wtnpo", ["~space.alpha"], "alpha is missing: objective wtnpo needs it in space or in fixed."),
        ("wtnpo", ["fixed.alpha=1"], "alpha is both in space and in fixed"),
        ("wtnpo", ["objective=wtnp"], "objective 'wtnp' is unknown"),
        ("wtnpo", ["objective=os.path"], "must hold one"),
        ("wtnpo", ["objective=ga"], "objective ga has no alpha"),
        # A bound, a choice and a fixed value that the objective refuses, wherever the other field stands.
        ("wtnpo", ["space.alpha.low=-1"], "alpha = -1.0 must be a finite number of at least 0."),
        ("wtnpo", ["space.beta={low: 0, high: 5, log: false}"], "beta = 0.0 must be a finite number above 0."),
        ("wtnpo", ["~space.beta", "space.beta={choices: [1, 0]}"], "beta = 0 must be a finite number above 0."),
        ("wtnpo", ["~space.beta", "fixed.beta=-2"], "beta = -2 must be a finite number above 0."),
        # The kind of a value: α is a number, RMU's layer a whole one, its normalize a truth value.
        ("wtnpo", ["~space.alpha", "fixed.alpha=x"], "fixed.alpha = 'x' must be a number."),
        ("wtnpo", ["~space.alpha", "fixed.alpha=true"], "fixed.alpha = True must be a number."),
        ("wtnpo", ["~space.alpha", "space.alpha={choices: [1, x]}"], "space.alpha.choices[1] = 'x' must be a number."),
        ("rmu", ["space.layer.low=1.5"], "space.layer.low = 1.5 must be a whole number."),
        ("rmu", ["space.layer.high=2.5"], "space.layer.high = 2.5 must be a whole number."),
        ("rmu", ["space.layer.step=0.5"], "space.layer.step = 0.5 must be a whole number."),
        ("rmu", ["~space.layer", "fixed.layer=2.0"], "fixed.layer = 2.0 must be a whole number."),
        ("rmu", ["fixed.normalize=1"], "fixed.normalize = 1 must be true or false."),
        ("rmu", ["~fixed.normalize", "space.normalize={low: 0, high: 1}"], "space.normalize must have choices"),
        (
            "wtnpo",
            ["space.alpha.step=0.3"],
            "space.alpha.high = 5.0 must be whole steps of 0.3 above 0.0 (nearest: 4.8).",
        ),
        (
            "rmu",
            ["space.layer.high=2", "space.layer.step=2"],
            "space.layer.high = 2.0 must be whole steps of 2.0 above 1",
        ),
        # A layer of the model: tiny has 4, so that 1 to 3 can be steered.
        ("rmu", ["space.layer.low=0"], "space.layer.low = 0 must be a layer of tiny from 1 to 3."),
        ("rmu", ["space.layer.high=4"], "space.layer.high = 4 must be a layer of tiny from 1 to 3."),
        ("rmu", ["~space.layer", "fixed.layer=32", "model=llama-2-7b"], "a layer of llama-2-7b from 1 to 31."),
        # What a trial replaces in the configuration.
        ("wtnpo", ["space.retain.weight={low: -1, high: 1}"], "space.retain.weight.low = -1.0 must be greater than or"),
        ("wtnpo", ["space.train.lr={low: 0, high: 1}"], "space.train.lr.low = 0.0 must be greater than 0."),
        ("wtnpo", ["space.train.epochs={low: 0, high: 2}"], "space.train.epochs.low = 0 must be greater than 0."),
        ("wtnpo", ["space.train.epochs={low: 1, high: 2.5}"], "space.train.epochs.high = 2.5 must be a whole number."),
        ("wtnpo", ["fixed.train.lr=x"], "fixed.train.lr = 'x' must be a number."),
        ("ga_kl", ["retain.term=none"], "space.retain.weight has no effect with retain.term = 'none'"),
    ],
)
def test_refused_space_is_told_in_one_sentence(name: str, overrides: list[str], said: str) -> None:
    """Each mistake names the key, the value, and what is allowed or nearest."""
    with pytest.raises(ConfigError) as caught:
        validate_space(load_shipped(name, *overrides))
    message = str(caught.value)
    assert said in message and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("wtnpo", ["~space.alpha", "fixed.alpha=0"]),
        ("wtnpo", ["~space.alpha", "space.alpha={choices: [0, 1.5]}"]),
        ("wtnpo", ["space.alpha={low: 0.1, high: 0.7, step: 0.1}"]),
        ("wtnpo", ["space.retain.weight={low: 0, high: 1}", "space.train.lr={low: 1e-6, high: 1e-3, log: true}"]),
        ("wtnpo", ["space.train.epochs={low: 1, high: 5}", "retain.term=none"]),
        ("ga_kl", ["~space.retain.weight"]),
        ("rmu", ["~fixed.normalize", "space.normalize={choices: [true, false]}"]),
        ("rmu", ["model=phi-1.5", "space.layer.high=23"]),
    ],
)
def test_accepted_spaces(name: str, overrides: list[str]) -> None:
    """Searched, fixed and chosen values within range pass; an objective without fields needs nothing."""
    validate_space(load_shipped(name, *overrides))


def test_objective_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of another type takes choices, and the objective itself judges them."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "named.py").write_text(
        "from dataclasses import dataclass\n"
        "from objectives._base import Objective, SettingError\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Named(Objective):\n"
        "    unit = 'token'\n"
        "    needs = frozenset({'logp'})\n"
        "    form: str\n"
        "    def __post_init__(self):\n"
        "        if self.form not in ('a', 'b'):\n"
        "            raise SettingError(f'form = {self.form} must be a or b')\n"
        "    def __call__(self, answers):\n"
        "        return answers.logp\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = load_shipped(
        "wtnpo", "objective=theirs.named", "~space.alpha", "~space.beta", "space.form={choices: [a, b]}"
    )
    validate_space(config)
    assert build_distributions(config) == {"form": CategoricalDistribution(("a", "b"))}
    with pytest.raises(ConfigError, match="form = c must be a or b"):
        validate_space(config.model_copy(update={"space": {}, "fixed": {"form": "c"}}))
    with pytest.raises(ConfigError, match=r"space\.form must have choices"):
        validate_space(config.model_copy(update={"space": {"form": Range(low=0, high=1)}}))


def test_distributions_are_those_of_the_space() -> None:
    """A number's range is a float distribution, a whole number's an int one, choices are a category."""
    assert build_distributions(
        load_shipped("wtnpo", "space.alpha.step=0.5", "space.train.epochs={low: 1, high: 8, log: true}")
    ) == {
        "alpha": FloatDistribution(0.0, 5.0, step=0.5),
        "beta": FloatDistribution(0.25, 10.0, log=True),
        "train.epochs": IntDistribution(1, 8, log=True),
    }
    stepped = load_shipped("rmu", "space.layer.step=2", "~space.c", "space.c={choices: [2, 4.0]}")
    assert build_distributions(stepped) == {
        "layer": IntDistribution(1, 3, step=2),
        "c": CategoricalDistribution((2, 4.0)),
    }
    assert build_distributions(load_shipped("ga_kl", "~space.retain.weight")) == {}


def test_objective_of_takes_the_fields_of_a_setting() -> None:
    """Keys with a dot are the trial's; an int field stays an int."""
    setting: Setting = {"alpha": 1.5, "beta": 7.0, "retain.weight": 0.3, "train.lr": 1e-3}
    assert build_objective(load_shipped("wtnpo"), setting) == WTNPO(alpha=1.5, beta=7.0)
    assert build_objective(load_shipped("ga_kl"), {"retain.weight": 2.0}) == GA()
    assert build_objective(load_shipped("rmu"), {"layer": 2, "c": 4.0, "normalize": False}) == RMU(
        layer=2, c=4.0, normalize=False
    )


def test_whatever_optuna_draws_the_objective_takes() -> None:
    """The corners that `check` tries stand for all that lies between: any space that passes makes objectives."""
    rmu = load_shipped("rmu")
    bound = st.integers(1, 3)

    @settings(deadline=None)
    @given(layers=st.tuples(bound, bound).map(sorted), log=st.booleans(), seed=st.integers(0, 9))
    def law(layers: list[int], log: bool, seed: int) -> None:
        config = rmu.model_copy(update={"space": rmu.space | {"layer": Range(low=layers[0], high=layers[1], log=log)}})
        validate_space(config)
        drawn: Setting = {name: _draw(distribution, seed) for name, distribution in build_distributions(config).items()}
        objective = build_objective(config, drawn | config.fixed)
        assert isinstance(objective, RMU)
        assert layers[0] <= objective.layer <= layers[1] and 0.5 <= objective.c <= 20

    law()


def _draw(distribution: BaseDistribution, seed: int) -> int | float:
    """One value from a distribution, drawn by Optuna."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = study.ask({"x": distribution}).params["x"]
    assert isinstance(value, int | float)
    return value
