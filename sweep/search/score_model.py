"""A Gaussian process of the scores that knows which trials share a seed; it estimates the mean scores of settings.

A score is modelled as the setting's mean over seeds, plus what the trial's seed adds, plus noise. What a seed adds is
smooth over the space as well: neighbouring settings share its luck, so that the lowest scores of one seed lie in one
place. The model can tell the two apart because the trials of a search take turns on several seeds.

Its hyper-parameters are not fitted, which a few trials would lead astray: predictions are averaged over draws from
their prior, weighted by likelihood. The same trials thus give the same answer everywhere, but for rounding.

References: Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, chapters 2 and 5; Snoek et al.,
*Practical Bayesian Optimization*, 2012, section 3.2 (the acquisition averaged over hyper-parameters).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from sweep.config.schema import SweepConfig
from sweep.config.space import build_distributions
from sweep.records import Setting, TrialRecord, Value

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor  # takes half a second to import, as scipy.stats does

Array: TypeAlias = NDArray[np.float64]
Distributions: TypeAlias = Mapping[str, BaseDistribution]

MAX_TRIALS = 200
"""Trials of one model, those with the lowest scores: its time grows with the third power of their number."""
N_DRAWS = 32
"""Draws from the prior of the hyper-parameters: a power of 2."""
MIN_WEIGHT = 0.05
"""Draws whose likelihood is below this share of the highest are left out of predictions."""
LENGTH, SEED_VARIANCE, SEED_OFFSET, NOISE = 0.6, 0.15, 0.05, 0.02
"""Medians of the prior: length in units of a range, and variances as shares of that of the settings' means."""
PRIOR_SPREAD = 0.6
"""Standard deviation of each hyper-parameter's logarithm in the prior."""
SEED_LENGTH = 0.4
"""Length over which what a seed adds changes, in units of a range."""
ESTIMATE_DIGITS = 6
"""Digits of an estimate after the point."""
ACROSS_SEEDS, WITHIN_SEED = 1e6, 1e-3
"""Lengths in the coordinate of the seed, 0, 1, 2 ...: trials on two seeds share everything, or nothing."""
NO_SEED = -1.0
"""Coordinate of a seed that no trial has."""


class ScoreModel:
    """The Gaussian process of the settings' mean scores, given trials."""

    def __init__(self, points: Array, seeds: Array, scores: Array, pending: Array) -> None:
        """Condition on trials.

        Args:
            points: coordinates [n, d] of the finished trials, at least one.
            seeds: their seeds [n].
            scores: their scores [n].
            pending: coordinates [m, d] of the running trials; each counts as if it had come to its prediction, so that
                the next setting is looked for elsewhere.
        """
        kept = np.sort(np.argsort(scores, kind="stable")[:MAX_TRIALS])
        self._points, self._centre, self._scale = points[kept], scores[kept].mean(), scores[kept].std() or 1.0
        _, places = np.unique(np.asarray(seeds)[kept], return_inverse=True)
        inputs, values = np.column_stack([self._points, places]), (scores[kept] - self._centre) / self._scale
        fitted = [process.fit(inputs, values) for process in _draw_processes(points.shape[1])]
        likelihood = np.array([one.log_marginal_likelihood_value_ for one in fitted])
        weights = np.exp(likelihood - likelihood.max())
        weights[weights < MIN_WEIGHT] = 0
        chosen = zip(weights / weights.sum(), fitted, strict=True)
        self._parts = [(weight, _believe(one, pending)) for weight, one in chosen if weight]

    def predict(self, points: Array) -> Array:
        """Return the predicted mean scores [m] of settings with these coordinates [m, d]."""
        means = [weight * one.predict(_on_no_seed(points)) for weight, one in self._parts]
        return np.asarray(np.sum(means, axis=0) * self._scale + self._centre)

    def expect_improvement(self, points: Array) -> Array:
        """Return the expected improvement [m] on the lowest predicted mean of a finished trial, in their deviations."""
        return np.asarray(np.sum([weight * self._improve(one, points) for weight, one in self._parts], axis=0))

    def _improve(self, process: "GaussianProcessRegressor", points: Array) -> Array:
        lowest = process.predict(_on_no_seed(self._points)).min()
        mean, deviation = process.predict(_on_no_seed(points), return_std=True)
        seed_variance = process.kernel_.k2.diag(points[:1])[0]
        own = np.sqrt(np.maximum(deviation**2 - seed_variance, 1e-9))  # of the mean over seeds, not on one more seed
        z = (lowest - mean) / own
        return np.asarray(own * (z * ndtr(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)))


def _draw_processes(n_coordinates: int) -> "Iterator[GaussianProcessRegressor]":
    """Yield a process for each draw from the prior; the draws are spread evenly, and always the same."""
    from scipy.stats import qmc
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, Matern

    draws = qmc.Sobol(n_coordinates + 3, seed=0).random(N_DRAWS)
    for *lengths, seed_variance, seed_offset, noise in np.exp(PRIOR_SPREAD * ndtri(draws)):
        within = [SEED_LENGTH] * n_coordinates + [WITHIN_SEED]
        setting = Matern([LENGTH * one for one in lengths] + [ACROSS_SEEDS], nu=2.5)
        seed = SEED_VARIANCE * seed_variance * Matern(within, nu=2.5)
        offset = SEED_OFFSET * seed_offset * RBF([ACROSS_SEEDS] * n_coordinates + [WITHIN_SEED])
        yield GaussianProcessRegressor(setting + (seed + offset), alpha=NOISE * noise, optimizer=None)


def _believe(process: "GaussianProcessRegressor", pending: Array) -> "GaussianProcessRegressor":
    """Return the process as it is if the running trials come to their predictions."""
    if not len(pending):
        return process
    inputs = _on_no_seed(pending)
    values = np.concatenate([process.y_train_, process.predict(inputs)])
    return type(process)(process.kernel_, alpha=process.alpha, optimizer=None).fit(
        np.concatenate([process.X_train_, inputs]), values
    )


def _on_no_seed(points: Array) -> Array:
    """Add the coordinate of a seed that no trial has [m, d + 1]: a prediction there is one of the mean over seeds."""
    return np.column_stack([points, np.full(len(points), NO_SEED)])


def limit_threads() -> AbstractContextManager[None]:
    """Run what follows on one thread: on small matrices several wait for each other, and round differently."""
    return cast("AbstractContextManager[None]", threadpool_limits(limits=1))


def rank_trials(config: SweepConfig, records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the finished search trials, lowest estimate of the mean score first: a score has the luck of its seed."""
    finished = sorted((r for r in records if (r.phase, r.state) == ("search", "finished")), key=lambda r: r.index)
    means = dict(zip((r.index for r in finished), estimate_means(config, finished), strict=True))
    return sorted(finished, key=lambda r: (means[r.index], r.score, r.index))


def estimate_means(config: SweepConfig, trials: Sequence[TrialRecord]) -> list[float]:
    """Estimate the mean score over seeds of each trial's setting, from all of these finished trials.

    Where all share one seed, whose luck cannot be told from the mean, it is the score itself. Estimates are rounded, so
    that the order of two settings does not hang on the last bits.
    """
    if len({trial.seed for trial in trials}) <= 1:
        return [trial.score for trial in trials]
    points = encode([trial.setting for trial in trials], build_distributions(config))
    return _estimate(tuple((*point, trial.seed, trial.score) for point, trial in zip(points, trials, strict=True)))


@lru_cache(maxsize=16)  # the race asks again after every run
def _estimate(trials: tuple[tuple[float, ...], ...]) -> list[float]:
    """Estimate the mean score of each trial, given as its coordinates, its seed and its score."""
    table = np.array(trials)
    points, seeds, scores = table[:, :-2], table[:, -2], table[:, -1]
    with limit_threads():
        means = ScoreModel(points, seeds, scores, points[:0]).predict(points)
    return [float(mean) for mean in means.round(ESTIMATE_DIGITS)]


def encode(settings: Iterable[Setting], space: Distributions) -> Array:
    """Return the coordinates of settings [n, d]: 0 to 1 along each range, and one coordinate for each choice.

    Two choices are as far apart as the ends of a range.
    """
    rows = [[x for name, one in space.items() for x in _encode_value(setting[name], one)] for setting in settings]
    width = sum(len(one.choices) if isinstance(one, CategoricalDistribution) else 1 for one in space.values())
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def _encode_value(value: Value, distribution: BaseDistribution) -> list[float]:
    if isinstance(distribution, CategoricalDistribution):
        return [math.sqrt(0.5) * (one == value) for one in distribution.choices]
    return [to_share(value, distribution)]


def to_share(value: Value, distribution: BaseDistribution) -> float:
    """Return the place of a value in its range, from 0 to 1; on a log scale where the range has one."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, own = (
        math.log(x) if distribution.log else x for x in (distribution.low, distribution.high, float(value))
    )
    return (own - low) / (high - low) if high > low else 0.0
