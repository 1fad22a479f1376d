"""The paper's tuned settings (configs/tables/paper.yaml): which of them a sweep ought to find again."""

import json
from functools import cache
from operator import attrgetter
from typing import TypeAlias

import yaml

from eval.shipped_configs import CONFIGS
from sweep.config.schema import Frozen, SweepConfig
from sweep.records import Setting, Value

Recipe: TypeAlias = dict[str, list[Value | None]]
"""How the paper trained: by key of a configuration the values that are the paper's, first the one of its code."""


class PaperModel(Frozen):
    """A model on which the paper tuned."""

    lr: float
    """Learning rate of a trial."""
    layers: int


class Tuned(Frozen):
    """A setting that the paper found best for an objective, and where that is written."""

    objective: str
    splits: list[str]
    models: list[str]
    setting: dict[str, Value]
    source: str


class Table(Frozen):
    """All that is known of the paper's tuning."""

    models: dict[str, PaperModel]
    recipe: Recipe
    settings: list[Tuned]


@cache
def table() -> Table:
    """The paper's table, read once."""
    return Table.model_validate(yaml.safe_load((CONFIGS / "tables" / "paper.yaml").read_text(encoding="utf-8")))


def paper_setting(config: SweepConfig) -> Setting | None:
    """The paper's setting for a sweep, with a value for every hyper-parameter that the sweep searches or fixes.

    What the paper did not tune is as in its recipe, else as the sweep fixes it. On a model that is not the paper's the
    first that fits stands in, with RMU's layer at the same relative depth.

    Returns:
        None where the paper has no setting for the objective, or none for one of the searched hyper-parameters.
    """
    tuned = _tuned(config)
    if tuned is None:
        return None
    setting = {**config.fixed, **_trained(config), **_at_depth(tuned, config)}
    wanted = [*config.space, *config.fixed]
    return {name: setting[name] for name in wanted} if setting.keys() >= set(wanted) else None


def stand_in(config: SweepConfig) -> bool:
    """Whether the paper's setting only stands in, because the model or the data is not the paper's, unaltered."""
    data = config.data
    whole = (data.source, data.max_retain, data.max_holdout) == ("tofu", None, None)
    return config.model.name not in table().models or not whole


def departures(config: SweepConfig) -> list[str]:
    """Where the sweep's recipe is not the paper's, as `train.epochs = 1, not 5`; empty where it is the paper's.

    What the search varies is no departure, nor is the learning rate on a model for which the paper has none. Every
    `train.precision` is the paper's: its code computes in bfloat16 over float32 weights (DeepSpeed); none of ours loses
    an update that this keeps, so that only rounding differs.
    """
    own, recipe = config.with_setting(config.fixed), _recipe(config)
    found = {key: attrgetter(key)(own) for key in recipe.keys() - config.space.keys()}
    return [
        f"{key} = {json.dumps(found[key])}, not {' or '.join(map(json.dumps, recipe[key]))}"
        for key in recipe
        if key in found and found[key] not in recipe[key]
    ]


def qualifiers(config: SweepConfig) -> list[str]:
    """What must be said beside any comparison with the paper's setting: `stand-in`, `other recipe`, both or nothing."""
    said = {"stand-in": stand_in(config), "other recipe": bool(departures(config))}
    return [word for word, holds in said.items() if holds]


def _tuned(config: SweepConfig) -> Tuned | None:
    """The table's row for the objective and split: the model's own, or else the first."""
    rows = [
        row for row in table().settings if row.objective == config.objective and config.data.paper_split in row.splits
    ]
    return next((row for row in rows if config.model.name in row.models), rows[0] if rows else None)


def _at_depth(tuned: Tuned, config: SweepConfig) -> Setting:
    """The tuned values, with a layer moved to the same share of the layers of a model that is not the paper's."""
    if "layer" not in tuned.setting or config.model.name in tuned.models:
        return tuned.setting
    share = float(tuned.setting["layer"]) / table().models[tuned.models[0]].layers
    return tuned.setting | {"layer": round(share * config.model.layers)}


def _recipe(config: SweepConfig) -> Recipe:
    """The paper's recipe, with the learning rate that it has on this model, if it has one."""
    model = table().models.get(config.model.name)
    return table().recipe | ({} if model is None else {"train.lr": [model.lr]})


def _trained(config: SweepConfig) -> Setting:
    """The paper's values of what may be searched beside the objective's fields; a stand-in keeps its learning rate."""
    recipe: Recipe = {"train.lr": [config.train.lr], **_recipe(config)}
    first = {key: recipe[key][0] for key in ("retain.weight", "train.lr", "train.epochs")}
    return {key: value for key, value in first.items() if value is not None}
