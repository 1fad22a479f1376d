"""Check what was typed, and load the rows, before any model is loaded."""

import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import get_type_hints

import yaml

import objectives
from eval import cli
from eval.cli import TextTemplate, UsageError
from eval.rows.types import Dataset, choose_evenly
from objectives._base import Objective
from sweep.config.messages import nearest_hint
from sweep.config.space import TYPE_NAMES, has_other_type
from sweep.records import Setting

WEIGHT_KEY = "retain.weight"
"""Word that sets the weight λ of the retain term."""


@dataclass(frozen=True, kw_only=True)
class EffectRequest:
    """Objective, rows and text of rows of a measurement, checked as far as can be before a model is loaded.

    Attributes:
        objective: the forget term.
        setting: its hyper-parameters.
        weight: λ of the retain term.
        dataset: the rows that are measured of each part.
        numbers: number of each of its forget rows among all, from 1.
        template: text of a row.
    """

    objective: Objective
    setting: Setting
    weight: float
    dataset: Dataset
    numbers: Sequence[int]
    template: TextTemplate


def check_request(typed: Namespace) -> EffectRequest:
    """Check what was typed, and load the rows, before any model is loaded.

    Raises:
        UsageError, DataError: a checkpoint, the objective, a hyper-parameter, the rows or an option is wrong.
    """
    cli.check_output_file(typed.out)
    for checkpoint in filter(None, (typed.checkpoint, typed.reference)):
        cli.check_checkpoint(checkpoint)
    typed.changes = [word for word in typed.words if word.startswith("data.")]
    setting = _parse_setting([word for word in typed.words if not word.startswith("data.")])
    weight = setting.pop(WEIGHT_KEY, 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise UsageError(f"{WEIGHT_KEY} = {weight!r} must be a finite number of 0 or more")
    objective = build_objective(typed.objective, setting)
    _check_layer(typed.checkpoint, setting)
    if typed.reference is not None:
        _check_reference(typed.reference, typed.checkpoint)
    template, whole = cli.choose_template(typed), cli.load_dataset(typed)
    if not whole.retain and typed.retain_term != "none":
        raise UsageError(f"--retain-term {typed.retain_term} needs retain rows, of which there are none: give none")
    parts = {part: getattr(whole, part) for part in ("forget", "retain", "holdout")}
    places = {part: choose_evenly(len(rows), typed.rows) for part, rows in parts.items()}
    return EffectRequest(
        objective=objective,
        setting=setting,
        weight=float(weight),
        dataset=replace(whole, **{part: tuple(rows[i] for i in places[part]) for part, rows in parts.items()}),
        numbers=[place + 1 for place in places["forget"]],
        template=template,
    )


def _parse_setting(words: Sequence[str]) -> Setting:
    """Parse `NAME=VALUE`, with a value in YAML as in a config."""
    setting: Setting = {}
    for word in words:
        name, is_value, value = word.partition("=")
        if not is_value:
            raise UsageError(f"{word} must be NAME=VALUE, as in alpha=1.5")
        try:
            setting[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"{word}: the value is not YAML") from error
    return setting


def build_objective(name: str, setting: Setting) -> Objective:
    """Build an objective of these hyper-parameters, which may raise any exception where it is not ours.

    Raises:
        UsageError: the objective is unknown, or a hyper-parameter is missing, unknown, of another type or out of range.
    """
    try:
        kind = objectives.load(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    kinds: dict[str, type] = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}
    allowed = f"allowed are {', '.join([*kinds, WEIGHT_KEY])}"
    for key, value in setting.items():
        if key not in kinds:
            raise UsageError(f"objective {name} has no {key}: {allowed}{nearest_hint(key, [*kinds, WEIGHT_KEY])}")
        if has_other_type(value, kinds[key]):
            raise UsageError(f"{key} = {value!r} must be {TYPE_NAMES[kinds[key]]}")
    if missing := [key for key in kinds if key not in setting]:
        raise UsageError(
            f"{missing[0]} is missing: objective {name} needs {', '.join(f'{key}=VALUE' for key in kinds)}"
        )
    try:
        return kind(**setting)
    except Exception as error:
        raise UsageError(f"objective {name}: {error}") from error


def _check_layer(checkpoint: str, setting: Setting) -> None:
    """Refuse a layer that the model does not have; the configuration alone is loaded for it."""
    if "layer" not in setting:
        return
    from eval.models.checkpoint import count_layers
    from eval.run import find_commit

    last = count_layers(checkpoint, find_commit(checkpoint)) - 1
    if not 1 <= float(setting["layer"]) <= last:
        raise UsageError(f"layer = {setting['layer']} must be a layer of {checkpoint} from 1 to {last}")


def _check_reference(reference: str, checkpoint: str) -> None:
    """Refuse a reference with other tokens; tokenizers and configurations alone are loaded for it."""
    from eval.models.checkpoint import load_config, load_tokenizer
    from eval.run import find_commit

    one, other = (
        (load_config(path, find_commit(path)).vocab_size, load_tokenizer(path, find_commit(path)).get_vocab())
        for path in (reference, checkpoint)
    )
    if one != other:
        raise UsageError(
            f"--reference {reference} has another vocabulary than {checkpoint}: it must be the model before unlearning"
        )
