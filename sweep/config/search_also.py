"""Add the hyper-parameters of `search.also` to the space, each in a range around the sweep's own value."""

from collections.abc import Callable, Mapping
from operator import attrgetter

from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Range
from sweep.errors import ConfigError

LR_FACTOR = 5
"""The learning rate is searched from its own value divided by this to its own value times this."""
WEIGHT_FACTOR = 10
"""The same for the retain term's weight: around 1, the range of the shipped configurations that search it."""
LEAST, MOST = 1e-12, 1e12
"""Ends between which a value may lie for a range of ratios around it."""


def add_searched_keys(config: SweepConfig) -> SweepConfig:
    """Return the sweep with the keys of `search.also` in its space and none in `search.also`.

    A range that the space holds already remains; without `search.also` the sweep is returned as it is.

    Raises:
        ConfigError: a key is fixed, or its own value has no range of ratios around it, as 0.
    """
    if not config.search.also:
        return config
    added = {key: _build_range(config, key) for key in config.search.also if key not in config.space}
    search = config.search.model_copy(update={"also": ()})
    return config.model_copy(update={"space": {**config.space, **added}, "search": search})


def _build_range(config: SweepConfig, key: str) -> Range:
    """Return the range of a key around its own value in the configuration."""
    if key in config.fixed:
        raise ConfigError(f"search.also: {key} is in fixed: take it away there, as ~fixed.{key} does, or here.")
    own = float(attrgetter(key)(config))
    if not LEAST <= own <= MOST:
        raise ConfigError(f"search.also: {key} = {own} must be from {LEAST:g} to {MOST:g} for a range around it.")
    return RANGES[key](own)


def _scale_by(factor: float) -> Callable[[float], Range]:
    """Return the function that spans a logarithmic range of this factor to both sides of a value."""
    return lambda own: Range(low=float(f"{own / factor:.6g}"), high=float(f"{own * factor:.6g}"), log=True)


RANGES: Mapping[str, Callable[[float], Range]] = {
    "train.lr": _scale_by(LR_FACTOR),
    "retain.weight": _scale_by(WEIGHT_FACTOR),
    "train.epochs": lambda own: Range(low=max(1.0, own // 2), high=2 * own),
}
"""The ranges by key: whole epochs from half to double."""
