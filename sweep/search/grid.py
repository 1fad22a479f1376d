"""Build the grid of a space: every choice, integer and step, and evenly spaced points on every other range."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from math import prod

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.config import space
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.records import Setting, Value


def build_grid(config: SweepConfig) -> list[Setting]:
    """Return all settings of the grid, shuffled by the sweep's seed, so that a truncated grid still covers the space.

    A range without a step gets as many points as `search.trials` allows: the same number on each such range, at least
    2, both ends included; on a logarithmic range their ratios are equal.

    Raises:
        ConfigError: there are more settings than trials, or a range has no step and `search.trials` is not set.
    """
    distributions = space.build_distributions(config)
    axes = {name: _enumerate_values(distribution) for name, distribution in distributions.items()}
    points = _count_range_points(config, [len(values) for values in axes.values() if values])
    cells = product(*(values or _divide_range(distributions[name], points) for name, values in axes.items()))
    settings: list[Setting] = [config.fixed | dict(zip(axes, cell, strict=True)) for cell in cells]
    order = np.random.default_rng(config.seed).permutation(len(settings))
    return [settings[place] for place in order]


def _enumerate_values(distribution: BaseDistribution) -> Sequence[Value]:
    """List every value of a distribution; return an empty list for a continuous range."""
    match distribution:
        case CategoricalDistribution():
            return [value for value in distribution.choices if value is not None]
        case IntDistribution():
            return range(distribution.low, distribution.high + 1, distribution.step)
        case FloatDistribution(step=None):
            return [distribution.low] if distribution.single() else []
        case FloatDistribution():
            low, high, step = (Decimal(str(x)) for x in (distribution.low, distribution.high, distribution.step))
            return [float(low + k * step) for k in range(int((high - low) / step) + 1)]
    raise AssertionError(distribution)


def _count_range_points(config: SweepConfig, counts: Sequence[int]) -> int:
    """Return the number of points on each range without a step; `counts` holds the lengths of the other axes."""
    trials, ranges = config.search.trials, len(config.space) - len(counts)
    if trials is None:
        if ranges:
            raise ConfigError("search.sampler = 'grid' needs search.trials where a range has no step to divide it by.")
        return 0
    least = prod(counts) * 2**ranges
    if least > trials:
        raise ConfigError(
            f"search.trials = {trials} must be at least {least} where search.sampler = 'grid': every choice, whole"
            f" number and step, and 2 points on each other range."
        )
    points = 2
    while ranges and prod(counts) * (points + 1) ** ranges <= trials:
        points += 1
    return points


def _divide_range(distribution: BaseDistribution, points: int) -> list[float]:
    """Return evenly spaced points from low to high, both included; logarithmic ranges have equal ratios."""
    assert isinstance(distribution, FloatDistribution), "only a range of numbers has no end of values"
    spaced = np.geomspace if distribution.log else np.linspace
    return [float(value) for value in spaced(distribution.low, distribution.high, points)]
