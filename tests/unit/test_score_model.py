"""The Gaussian process against its formula, and what it makes of trials on lucky and unlucky seeds."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from support import toys
from support.trials import trial
from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.search.queue import choose_search_seed
from sweep.search.race import hold_race, list_race_seeds
from sweep.search.score_model import NO_SEED, ScoreModel, _draw_processes, encode, estimate_means


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """WTNPO: alpha from 0 to 5, beta from 0.25 to 10 on a log scale."""
    return toys.config(tmp_path, search={"race": 8})


def matern(distance: float) -> float:
    """The Matérn covariance of smoothness 5/2 (Rasmussen and Williams, equation 4.17) at a scaled distance."""
    root = math.sqrt(5) * distance
    return (1 + root + root**2 / 3) * math.exp(-root)


def test_the_covariance_of_two_trials_by_hand() -> None:
    """Half a range apart: the setting's part on any seeds, the seed's two parts on the same seed only."""
    process = next(_draw_processes(1))
    setting, seed = process.kernel.k1, process.kernel.k2
    length, variance, offset = setting.length_scale[0], seed.k1.k1.constant_value, seed.k2.k1.constant_value
    between = process.kernel(np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.5, NO_SEED]]))[0]
    shared = matern(0.5 / length)
    assert between[1] == pytest.approx(shared + variance * matern(0.5 / 0.4) + offset)
    assert between[2:] == pytest.approx([shared, shared])
    assert between[0] == pytest.approx(1 + variance + offset)


def test_a_prediction_is_one_of_the_mean_over_seeds() -> None:
    """One process of the prior, three trials on two seeds: k(x)ᵀ K⁻¹ y with the setting's part alone in k(x)."""
    process = next(_draw_processes(1))
    inputs, values = np.array([[0.1, 0.0], [0.4, 0.0], [0.9, 1.0]]), np.array([-1.0, 0.25, 1.5])
    covariance = process.kernel(inputs) + process.alpha * np.eye(3)
    to_new = [matern(abs(0.3 - x) / process.kernel.k1.length_scale[0]) for x in inputs[:, 0]]
    expected = to_new @ np.linalg.solve(covariance, values)
    assert process.fit(inputs, values).predict(np.array([[0.3, NO_SEED]])) == pytest.approx([expected])


def test_a_running_trial_leaves_less_to_expect() -> None:
    """Beside it there is less to gain than without it; the predictions stay."""
    points, seeds, scores = np.array([[0.0], [0.3], [1.0]]), np.array([0, 1, 0]), np.array([0.6, 0.4, 0.7])
    place = np.array([[0.55]])
    alone, beside = (ScoreModel(points, seeds, scores, pending) for pending in (points[:0], place))
    assert beside.expect_improvement(place)[0] < alone.expect_improvement(place)[0] / 2
    assert beside.predict(place) == pytest.approx(alone.predict(place))


def test_coordinates_by_hand() -> None:
    """A tenth on a log scale of two decades is the middle; two choices are as far apart as the ends of a range."""
    space = {
        "lr": FloatDistribution(0.01, 1.0, log=True),
        "layer": IntDistribution(1, 3),
        "only": FloatDistribution(2.0, 2.0),
        "normalize": CategoricalDistribution((True, False)),
    }
    found: list[Setting] = [
        {"lr": 0.1, "layer": 3, "only": 2.0, "normalize": True},
        {"lr": 0.1, "layer": 3, "only": 2.0, "normalize": False},
    ]
    one, other = encode(found, space)
    assert one == pytest.approx([0.5, 1.0, 0.0, math.sqrt(0.5), 0.0])
    assert np.linalg.norm(one - other) == pytest.approx(1.0)
    assert encode([], space).shape == (0, 5)


def search_trials(luck: tuple[float, float]) -> list[TrialRecord]:
    """Eight trials along alpha, lowest in the middle at .25, in turn on two seeds with this luck."""
    return [
        trial(i, {"alpha": 5 * i / 7, "beta": 2.0}, 0.25 + abs(i - 3.25) / 10 + luck[i % 2], seed=i % 2)
        for i in range(8)
    ]


def test_a_lucky_seed_does_not_choose(config: SweepConfig) -> None:
    """The second seed takes .5 off: its four trials have the lowest scores, and 3 and 4 are the best settings."""
    found = search_trials((0.0, -0.5))
    assert sorted(found, key=lambda r: r.score)[:2] == [found[3], found[5]]
    means = estimate_means(config, found)
    assert sorted(range(8), key=lambda i: means[i])[:2] == [3, 4]
    race = hold_race(config, None, found)
    assert [racer.setting for racer in race.racers] == [found[3].setting, found[4].setting]


def test_on_one_seed_the_score_is_the_estimate(config: SweepConfig) -> None:
    """Its luck cannot be told from the mean, so that the lowest score leads."""
    found = [trial(i, record.setting, record.score, seed=3) for i, record in enumerate(search_trials((0.0, -0.5)))]
    assert estimate_means(config, found) == [record.score for record in found]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(8)))
def test_the_order_of_the_trials_says_nothing(order: list[int]) -> None:
    """Estimates belong to settings, whatever ended first."""
    config, found = toys.config(Path("/")), search_trials((0.0, -0.3))
    means = estimate_means(config, found)
    assert estimate_means(config, [found[i] for i in order]) == pytest.approx([means[i] for i in order], abs=2e-6)


def test_two_trials_of_a_setting_have_one_estimate(config: SweepConfig) -> None:
    """It lies between their scores."""
    found = [*search_trials((0.0, -0.5)), trial(8, {"alpha": 0.0, "beta": 2.0}, 0.075, seed=1)]
    means = estimate_means(config, found)
    assert means[0] == means[8]
    assert found[8].score < means[0] < found[0].score


def test_a_search_of_many_trials_is_modelled_by_its_best(config: SweepConfig) -> None:
    """Of 260 trials the 60 highest are left out of the model, and still have an estimate, above the lowest's."""
    found = [trial(i, {"alpha": 5 * i / 259, "beta": 2.0}, 0.1 + i / 300, seed=i % 8) for i in range(260)]
    means = estimate_means(config, found)
    assert len(means) == 260
    assert means[0] < means[100] < means[190]


def test_searches_take_turns_on_seeds_of_their_own(tmp_path: Path) -> None:
    """The first is the sweep's seed, the others lie above all race and report seeds."""
    config = toys.config(tmp_path, seed=7, seeds=10**6, search={"seeds": 3, "race": 10_000})
    assert [choose_search_seed(config, i) for i in range(5)] == [7, 7 + 2**21 + 1, 7 + 2**21 + 2, 7, 7 + 2**21 + 1]
    assert choose_search_seed(config.model_copy(update={"seed": 2**31 - 1}), 1) == 2**21
    assert max(list_race_seeds(config)[-1], config.seed + config.seeds) < choose_search_seed(config, 1)
