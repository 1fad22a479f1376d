"""Check the search space against the objective's fields before a process starts; build Optuna's distributions."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from itertools import product
from math import log, prod
from typing import TypeAlias, get_type_hints

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

import objectives
from objectives._base import Objective
from sweep.config.messages import describe_requirement, nearest_hint, translate_errors
from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Choices, Range, Space
from sweep.errors import ConfigError
from sweep.records import Setting, Value

TRAINING_KEYS: dict[str, type] = {"retain.weight": float, "train.lr": float, "train.epochs": int}
"""Hyper-parameters that may be searched or fixed in addition to the objective's fields, with their types."""
TYPE_NAMES: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}
"""Names of the field types whose values are checked here; the objective itself checks fields of other types."""
MAX_RANGE_STEPS = 10_000
"""Maximum number of steps in a range."""
MAX_CORNERS = 10_000
"""Maximum number of combinations of bounds, choices and fixed values; the objective is built with each."""
SpaceEntry: TypeAlias = Range | Choices | Value
ValuesByKey: TypeAlias = dict[str, Value]
"""Values by the configuration key under which the user gave them."""


def validate_space(config: SweepConfig) -> None:
    """Refuse a sweep whose `space` and `fixed` do not fit the objective.

    Raises:
        ConfigError: `space` and `fixed` do not cover exactly the objective's fields (`TRAINING_KEYS` are optional), or
            a bound, a choice or a fixed value has the wrong type or is out of range.
    """
    kinds = _parameter_types(config)
    _check_coverage(config, kinds)
    for name, entry in _all_entries(config).items():
        _check_type(name, entry, kinds[name])
    tried = {name: _values_by_key(name, entry, kinds[name]) for name, entry in _all_entries(config).items()}
    _check_training(config, tried)
    _check_layer(config, tried.get("layer", {}))
    _check_objective(
        config, {name: list(places.values()) for name, places in tried.items() if name not in TRAINING_KEYS}
    )


def build_distributions(config: SweepConfig) -> dict[str, BaseDistribution]:
    """Build Optuna's distribution of each searched hyper-parameter; the sweep must have passed `validate_space`."""
    kinds = _parameter_types(config)
    return {name: _build_distribution(entry, kinds[name]) for name, entry in config.space.items()}


def build_objective(config: SweepConfig, setting: Setting) -> Objective:
    """Build the objective from a setting; keys with a dot belong to the trial and are left out."""
    return _load_objective(config)(**{name: value for name, value in setting.items() if "." not in name})


def _load_objective(config: SweepConfig) -> type[Objective]:
    try:
        return objectives.load(config.objective)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _parameter_types(config: SweepConfig) -> dict[str, type]:
    """Return the type of every hyper-parameter that the sweep may have."""
    objective = _load_objective(config)
    with translate_errors(f"objective {config.objective!r}: its fields"):
        hints = get_type_hints(objective)
    return {field.name: hints[field.name] for field in fields(objective)} | TRAINING_KEYS


def _all_entries(config: SweepConfig) -> dict[str, SpaceEntry]:
    return {**config.space, **config.fixed}


def _check_coverage(config: SweepConfig, kinds: Mapping[str, type]) -> None:
    given = _all_entries(config)
    for name in given:
        if name not in kinds:
            raise ConfigError(
                f"{'space' if name in config.space else 'fixed'}.{name}: objective {config.objective} has no {name}:"
                f" allowed are {', '.join(kinds)}{nearest_hint(name, list(kinds))}."
            )
        if name in config.space and name in config.fixed:
            raise ConfigError(f"{name} is both in space and in fixed: take one away, as ~space.{name} does.")
    for name in kinds:
        if name not in given and name not in TRAINING_KEYS:
            raise ConfigError(f"{name} is missing: objective {config.objective} needs it in space or in fixed.")


def _values_by_key(name: str, entry: SpaceEntry, kind: type) -> ValuesByKey:
    """Return the bounds of a range, the choices, or the fixed value, by configuration key."""
    match entry:
        case Range():
            return {
                f"space.{name}.{end}": _to_whole_number(bound, kind)
                for end, bound in (("low", entry.low), ("high", entry.high))
            }
        case Choices():
            return {f"space.{name}.choices[{i}]": value for i, value in enumerate(entry.choices)}
        case _:
            return {f"fixed.{name}": entry}


def _to_whole_number(bound: float, kind: type) -> Value:
    """Convert a whole bound to int if the field is an int; return any other bound unchanged."""
    return int(bound) if kind is int and bound.is_integer() else bound


def _check_type(name: str, entry: SpaceEntry, kind: type) -> None:
    """Refuse values whose type differs from the field's."""
    places = _values_by_key(name, entry, kind)
    if isinstance(entry, Range):
        if kind not in (int, float):
            raise ConfigError(f"space.{name} must have choices instead of low and high: it is no number.")
        places |= {} if entry.step is None else {f"space.{name}.step": _to_whole_number(entry.step, kind)}
    for place, value in places.items():
        if has_other_type(value, kind):
            raise ConfigError(f"{place} = {value!r} must be {TYPE_NAMES[kind]}.")
    if isinstance(entry, Range) and entry.step is not None:
        _check_step(name, entry.low, entry.high, entry.step)


def has_other_type(value: object, kind: type) -> bool:
    """Return True if a value is not of a field's type, as far as it is checked here; a whole number is a number too."""
    return kind in TYPE_NAMES and type(value) is not kind and not (kind is float and type(value) is int)


def _check_step(name: str, low: float, high: float, step: float) -> None:
    """Refuse a range with too many steps to list, or whose upper end no step reaches: it would never be searched."""
    first, last, each = (Decimal(str(number)) for number in (low, high, step))
    if last - first > MAX_RANGE_STEPS * each:
        raise ConfigError(
            f"space.{name}.step = {step} must divide {low} to {high} into at most {MAX_RANGE_STEPS} steps."
        )
    if beyond := (last - first) % each:
        raise ConfigError(
            f"space.{name}.high = {high} must be whole steps of {step} above {low} (nearest: {float(last - beyond)})."
        )


def _check_training(config: SweepConfig, tried: Mapping[str, ValuesByKey]) -> None:
    """Validate the values that a trial replaces in the configuration by the configuration's own rules."""
    if "retain.weight" in config.space and config.retain.term == "none":
        raise ConfigError("space.retain.weight has no effect with retain.term = 'none': allowed there are kl and nll.")
    for name in tried.keys() & TRAINING_KEYS.keys():
        for place, value in tried[name].items():
            try:
                config.with_setting({name: value})
            except ValidationError as error:
                raise ConfigError(f"{place} = {value!r} {describe_requirement(error.errors()[0])}.") from error


def _check_layer(config: SweepConfig, places: ValuesByKey) -> None:
    last = config.model.layers - 1
    for place, value in places.items():
        if not 1 <= float(value) <= last:
            raise ConfigError(f"{place} = {value} must be a layer of {config.model.name} from 1 to {last}.")


def _check_objective(config: SweepConfig, values: Mapping[str, list[Value]]) -> None:
    """Build the objective at every corner of the space; a custom objective may raise any exception."""
    if (corners := prod(map(len, values.values()))) > MAX_CORNERS:
        raise ConfigError(f"space has {corners} combinations of bounds and choices: allowed are at most {MAX_CORNERS}.")
    for corner in product(*values.values()):
        setting = dict(zip(values, corner, strict=True))
        try:
            build_objective(config, setting)
        except Exception as error:
            raise ConfigError(f"space and fixed allow {setting}: {error}.") from error


def _build_distribution(entry: Range | Choices, kind: type) -> BaseDistribution:
    if isinstance(entry, Choices):
        return CategoricalDistribution(entry.choices)
    if kind is int:
        return IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1))
    return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)


def measure_distance(space: Space, one: Setting, other: Setting) -> float:
    """Return the distance of two settings, from 0 to 1: the largest `measure_share` of a searched hyper-parameter."""
    return max((measure_share(entry, one[name], other[name]) for name, entry in space.items()), default=0.0)


def measure_share(entry: Range | Choices, one: Value, other: Value) -> float:
    """Return the distance of two values as a share of a range, on a log scale where it has one; 0 or 1 for choices."""
    if one == other or isinstance(entry, Choices):
        return float(one != other)
    low, high, ours, theirs = map(log if entry.log else float, (entry.low, entry.high, float(one), float(other)))
    return abs(ours - theirs) / (high - low)
