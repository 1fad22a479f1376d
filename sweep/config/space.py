"""Check the search space against the objective's fields before a process starts; build Optuna's distributions."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from itertools import product
from math import prod
from typing import TypeAlias, get_type_hints

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

import objectives
from objectives._base import Objective
from sweep.config.messages import nearest, one_sentence, wording
from sweep.config.schema import Choices, Range, SweepConfig
from sweep.errors import ConfigError
from sweep.records import Setting, Value

TRAINING: dict[str, type] = {"retain.weight": float, "train.lr": float, "train.epochs": int}
"""Hyper-parameters that may be searched or fixed in addition to the objective's fields, with their types."""
WORDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false"}
"""Names of the field types whose values are checked here; the objective itself checks fields of other types."""
STEPS = 10_000
"""Maximum number of steps in a range."""
CORNERS = 10_000
"""Maximum number of combinations of bounds, choices and fixed values; the objective is built with each."""
Entry: TypeAlias = Range | Choices | Value
Places: TypeAlias = dict[str, Value]
"""Values by the configuration key under which the user gave them."""


def check(config: SweepConfig) -> None:
    """Refuse a sweep whose `space` and `fixed` do not fit the objective.

    Raises:
        ConfigError: `space` and `fixed` do not cover exactly the objective's fields (`TRAINING_KEYS` are optional), or
            a bound, a choice or a fixed value has the wrong type or is out of range.
    """
    kinds = _kinds(config)
    _check_cover(config, kinds)
    for name, entry in _entries(config).items():
        _check_kind(name, entry, kinds[name])
    tried = {name: _places(name, entry, kinds[name]) for name, entry in _entries(config).items()}
    _check_training(config, tried)
    _check_layer(config, tried.get("layer", {}))
    _check_objective(config, {name: list(places.values()) for name, places in tried.items() if name not in TRAINING})


def distributions(config: SweepConfig) -> dict[str, BaseDistribution]:
    """Build Optuna's distribution of each searched hyper-parameter; the sweep must have passed `validate_space`."""
    kinds = _kinds(config)
    return {name: _distribution(entry, kinds[name]) for name, entry in config.space.items()}


def objective_of(config: SweepConfig, setting: Setting) -> Objective:
    """Build the objective from a setting; keys with a dot belong to the trial and are left out."""
    return _objective(config)(**{name: value for name, value in setting.items() if "." not in name})


def _objective(config: SweepConfig) -> type[Objective]:
    try:
        return objectives.load(config.objective)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _kinds(config: SweepConfig) -> dict[str, type]:
    """Return the type of every hyper-parameter that the sweep may have."""
    objective = _objective(config)
    with one_sentence(f"objective {config.objective!r}: its fields"):
        hints = get_type_hints(objective)
    return {field.name: hints[field.name] for field in fields(objective)} | TRAINING


def _entries(config: SweepConfig) -> dict[str, Entry]:
    return {**config.space, **config.fixed}


def _check_cover(config: SweepConfig, kinds: Mapping[str, type]) -> None:
    given = _entries(config)
    for name in given:
        if name not in kinds:
            raise ConfigError(
                f"{'space' if name in config.space else 'fixed'}.{name}: objective {config.objective} has no {name}:"
                f" allowed are {', '.join(kinds)}{nearest(name, list(kinds))}."
            )
        if name in config.space and name in config.fixed:
            raise ConfigError(f"{name} is both in space and in fixed: take one away, as ~space.{name} does.")
    for name in kinds:
        if name not in given and name not in TRAINING:
            raise ConfigError(f"{name} is missing: objective {config.objective} needs it in space or in fixed.")


def _places(name: str, entry: Entry, kind: type) -> Places:
    """Return the bounds of a range, the choices, or the fixed value, by configuration key."""
    match entry:
        case Range():
            return {
                f"space.{name}.{end}": _whole(bound, kind) for end, bound in (("low", entry.low), ("high", entry.high))
            }
        case Choices():
            return {f"space.{name}.choices[{i}]": value for i, value in enumerate(entry.choices)}
        case _:
            return {f"fixed.{name}": entry}


def _whole(bound: float, kind: type) -> Value:
    """Convert a whole bound to int if the field is an int; return any other bound unchanged."""
    return int(bound) if kind is int and bound.is_integer() else bound


def _check_kind(name: str, entry: Entry, kind: type) -> None:
    """Refuse values whose type differs from the field's."""
    places = _places(name, entry, kind)
    if isinstance(entry, Range):
        if kind not in (int, float):
            raise ConfigError(f"space.{name} must have choices instead of low and high: it is no number.")
        places |= {} if entry.step is None else {f"space.{name}.step": _whole(entry.step, kind)}
    for place, value in places.items():
        if kind in WORDS and type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(f"{place} = {value!r} must be {WORDS[kind]}.")
    if isinstance(entry, Range) and entry.step is not None:
        _check_step(name, entry.low, entry.high, entry.step)


def _check_step(name: str, low: float, high: float, step: float) -> None:
    """Refuse a range with too many steps to list, or whose upper end no step reaches: it would never be searched."""
    first, last, each = (Decimal(str(number)) for number in (low, high, step))
    if last - first > STEPS * each:
        raise ConfigError(f"space.{name}.step = {step} must divide {low} to {high} into at most {STEPS} steps.")
    if beyond := (last - first) % each:
        raise ConfigError(
            f"space.{name}.high = {high} must be whole steps of {step} above {low} (nearest: {float(last - beyond)})."
        )


def _check_training(config: SweepConfig, tried: Mapping[str, Places]) -> None:
    """Validate the values that a trial replaces in the configuration by the configuration's own rules."""
    if "retain.weight" in config.space and config.retain.term == "none":
        raise ConfigError("space.retain.weight has no effect with retain.term = 'none': allowed there are kl and nll.")
    for name in tried.keys() & TRAINING.keys():
        for place, value in tried[name].items():
            try:
                config.with_setting({name: value})
            except ValidationError as error:
                raise ConfigError(f"{place} = {value!r} {wording(error.errors()[0])}.") from error


def _check_layer(config: SweepConfig, places: Places) -> None:
    last = config.model.layers - 1
    for place, value in places.items():
        if not 1 <= float(value) <= last:
            raise ConfigError(f"{place} = {value} must be a layer of {config.model.name} from 1 to {last}.")


def _check_objective(config: SweepConfig, values: Mapping[str, list[Value]]) -> None:
    """Build the objective at every corner of the space; a custom objective may raise any exception."""
    if (corners := prod(map(len, values.values()))) > CORNERS:
        raise ConfigError(f"space has {corners} combinations of bounds and choices: allowed are at most {CORNERS}.")
    for corner in product(*values.values()):
        setting = dict(zip(values, corner, strict=True))
        try:
            objective_of(config, setting)
        except Exception as error:
            raise ConfigError(f"space and fixed allow {setting}: {error}.") from error


def _distribution(entry: Range | Choices, kind: type) -> BaseDistribution:
    if isinstance(entry, Choices):
        return CategoricalDistribution(entry.choices)
    if kind is int:
        return IntDistribution(int(entry.low), int(entry.high), log=entry.log, step=int(entry.step or 1))
    return FloatDistribution(entry.low, entry.high, log=entry.log, step=entry.step)
