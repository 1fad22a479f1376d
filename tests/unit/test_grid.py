"""The grid: how finely it divides, and that it is the whole product and nothing else."""

from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.toys import config as toy_config
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.search.grid import build_grid


def gridded(space: dict[str, Any], trials: int | None, seed: int = 0, **blocks: Any) -> SweepConfig:
    """A sweep on a grid."""
    search = {"sampler": "grid", "trials": trials, "hours": 1.0}
    return toy_config(Path("/nowhere"), space=space, search=search, seed=seed, **blocks)


def axis(config: SweepConfig, name: str) -> list[Any]:
    """The values of one hyper-parameter."""
    return sorted({setting[name] for setting in build_grid(config)})


def test_ranges_are_divided_evenly() -> None:
    """24 trials and two ranges: 4 points each (5 would make 25), both ends in; a logarithmic one in equal ratios."""
    space = {"alpha": {"low": 0.0, "high": 6.0}, "beta": {"low": 0.25, "high": 16.0, "log": True}}
    config = gridded(space, 24)
    assert axis(config, "alpha") == [0, 2, 4, 6]
    assert axis(config, "beta") == pytest.approx([0.25, 1, 4, 16])
    assert len(build_grid(config)) == 16
    assert len(build_grid(gridded(space, 25))) == 25


def test_choices_whole_numbers_and_steps_are_taken_whole() -> None:
    """2 choices × 3 epochs leave 4 points of 24 for the range; steps of .1 are the decimals that a person wrote."""
    space = {
        "alpha": {"choices": (1.5, 0)},
        "beta": {"low": 1.0, "high": 4.0},
        "train.epochs": {"low": 1, "high": 5, "step": 2},
    }
    config = gridded(space, 24)
    assert axis(config, "alpha") == [0, 1.5]
    assert axis(config, "beta") == [1, 2, 3, 4]
    assert axis(config, "train.epochs") == [1, 3, 5]
    assert {type(setting["train.epochs"]) for setting in build_grid(config)} == {int}
    stepped = gridded({"alpha": {"low": 0.1, "high": 0.7, "step": 0.1}}, 24, fixed={"beta": 7.0})
    assert axis(stepped, "alpha") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert all(setting["beta"] == 7.0 for setting in build_grid(stepped))


def test_a_finite_grid_needs_no_number_of_trials() -> None:
    """Hours may end it; a range that nothing divides is refused."""
    space: dict[str, Any] = {"alpha": {"choices": (0, 1)}, "beta": {"low": 1.0, "high": 2.0, "step": 0.5}}
    assert len(build_grid(gridded(space, None))) == 6
    with pytest.raises(ConfigError, match=r"needs search\.trials where a range has no step"):
        build_grid(gridded(space | {"alpha": {"low": 0.0, "high": 1.0}}, None))


def test_a_range_of_one_point_is_one_value() -> None:
    """Its ends are the same: it takes no part in the division."""
    config = gridded({"alpha": {"low": 1.5, "high": 1.5}, "beta": {"low": 1.0, "high": 4.0}}, 4)
    assert [axis(config, name) for name in ("alpha", "beta")] == [[1.5], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("space", "trials", "least"),
    [
        ({"alpha": {"choices": (0, 1, 2)}, "beta": {"low": 1.0, "high": 5.0, "step": 1.0}}, 14, 15),
        ({"alpha": {"low": 0.0, "high": 1.0}, "beta": {"low": 1.0, "high": 5.0}}, 3, 4),
        ({"alpha": {"choices": (0, 1, 2)}, "beta": {"low": 1.0, "high": 5.0}}, 5, 6),
    ],
)
def test_a_grid_of_more_settings_than_trials_is_refused(space: dict[str, Any], trials: int, least: int) -> None:
    """The sentence says how many there are at least; so many are enough."""
    with pytest.raises(ConfigError, match=rf"^search\.trials = {trials} must be at least {least} where"):
        build_grid(gridded(space, trials))
    assert len(build_grid(gridded(space, least))) == least


def test_the_order_is_the_seeds() -> None:
    """The same seed, the same order; another seed, another order of the same settings."""
    space = {"alpha": {"low": 0.0, "high": 5.0}, "beta": {"low": 1.0, "high": 5.0}}
    first, again, other = (build_grid(gridded(space, 25, seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(map(str, first)) == sorted(map(str, other))
    cut_off = {setting["alpha"] for setting in first[:12]}
    assert len(cut_off) == 5


@given(
    choices=st.integers(1, 4),
    steps=st.integers(1, 4),
    trials=st.integers(2, 200),
)
def test_as_many_points_as_the_trials_let(choices: int, steps: int, trials: int) -> None:
    """Never more settings than trials, no setting twice, and one more point on the range would be too many."""
    space = {
        "alpha": {"low": 0.0, "high": 1.0},
        "beta": {"choices": tuple(range(1, choices + 1))},
        "train.epochs": {"low": 1, "high": steps},
    }
    config = gridded(space, trials)
    if 2 * choices * steps > trials:
        with pytest.raises(ConfigError):
            build_grid(config)
        return
    settings = build_grid(config)
    counts = [len(axis(config, name)) for name in space]
    assert len(settings) == len({str(setting) for setting in settings}) == prod(counts) <= trials
    assert (counts[0] + 1) * choices * steps > trials
