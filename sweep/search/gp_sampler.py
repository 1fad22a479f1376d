"""The sampler gp: it proposes the setting from which the Gaussian process of the mean scores expects most."""

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState

from sweep.records import Setting, Value
from sweep.search.score_model import ScoreModel, encode, limit_threads, to_share

SEED_ATTRIBUTE = "seed"
"""The attribute of a trial from an earlier sweep that holds its seed; this sweep's trials have theirs in `start`."""
N_EVEN = 256
"""Candidates for the next setting that cover the space evenly: a power of 2."""
N_BEST, N_NEAR, STEP = 8, 16, 0.08
"""Further candidates: so many beside each of the best settings, by normal steps of this size in units of a range."""


class GPSampler(BaseSampler):
    """Optuna's interface to the Gaussian process; settings are random until `n_startup_trials` have finished."""

    def __init__(self, seed: int, n_startup_trials: int) -> None:
        """Seed the candidates and the random settings."""
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed)
        self._n_startup_trials = n_startup_trials

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the searched hyper-parameters; none before the first trial has finished."""
        return IntersectionSearchSpace().calculate(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next setting; an empty one, which stands for a random setting, until enough trials have finished.

        Running trials count as if they had come to their predictions.
        """
        trials = [one for one in study.get_trials(deepcopy=False) if search_space.keys() <= one.params.keys()]
        n_finished = sum(one.state == TrialState.COMPLETE for one in trials)
        if not search_space or n_finished < self._n_startup_trials:
            return {}
        with limit_threads():
            return self._choose_setting(trials, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a random value of one hyper-parameter."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _choose_setting(self, trials: list[FrozenTrial], space: Mapping[str, BaseDistribution]) -> Setting:
        """Choose the candidate with the highest expected improvement."""
        finished = [one for one in trials if one.state == TrialState.COMPLETE]
        settings = [one.params for one in finished]
        points = encode(settings, space)
        model = ScoreModel(
            points,
            np.array([one.user_attrs.get("start", one.user_attrs)[SEED_ATTRIBUTE] for one in finished]),
            np.array([one.value for one in finished]),
            encode([one.params for one in trials if one.state == TrialState.RUNNING], space),
        )
        best = [settings[i] for i in np.argsort(model.predict(points), kind="stable")[:N_BEST]]
        candidates = self._list_candidates(best, space)
        return candidates[int(model.expect_improvement(encode(candidates, space)).argmax())]

    def _list_candidates(self, best: list[Setting], space: Mapping[str, BaseDistribution]) -> list[Setting]:
        """List settings that cover the space evenly, and some beside each of the best ones."""
        from scipy.stats import qmc  # takes half a second to import

        even = qmc.Sobol(len(space), rng=self._rng).random(N_EVEN)
        near = np.repeat([[_locate(one[name], space[name]) for name in space] for one in best], N_NEAR, axis=0)
        near = np.clip(near + STEP * self._rng.standard_normal(near.shape), 0, 1)
        return [_choose_values(place, space) for place in np.concatenate([even, near])]


def _locate(value: Value, distribution: BaseDistribution) -> float:
    """Return the place of a value from 0 to 1; the middle of its equal share for a choice."""
    if isinstance(distribution, CategoricalDistribution):
        return (distribution.choices.index(value) + 0.5) / len(distribution.choices)
    return to_share(value, distribution)


def _choose_values(place: NDArray[np.float64], space: Mapping[str, BaseDistribution]) -> Setting:
    """Return the setting at a place [number of hyper-parameters], each from 0 to 1; the inverse of `_locate`."""
    return {name: _choose_value(x, one) for x, (name, one) in zip(place.tolist(), space.items(), strict=True)}


def _choose_value(place: float, distribution: BaseDistribution) -> Value:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return cast("Value", choices[min(int(place * len(choices)), len(choices) - 1)])
        case FloatDistribution() | IntDistribution():
            low, high, step = float(distribution.low), float(distribution.high), distribution.step
            value = (
                math.exp(math.log(low) + place * math.log(high / low))
                if distribution.log
                else low + place * (high - low)
            )
            if step is not None:
                value = low + round((value - low) / step) * step
            value = min(max(value, low), high)
            return int(value) if isinstance(distribution, IntDistribution) else value
    raise AssertionError(distribution)
