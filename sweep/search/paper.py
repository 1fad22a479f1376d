"""The paper's tuned settings (configs/tables/paper.yaml), and the one that a sweep should find again."""

import json
from functools import cache
from operator import attrgetter
from typing import TypeAlias

import yaml

from eval.options import Frozen
from eval.shipped_configs import CONFIGS
from sweep.config.schema import SweepConfig
from sweep.records import Setting, Value

Recipe: TypeAlias = dict[str, list[Value | None]]
"""The paper's training recipe: its values by configuration key, the value of its code first."""


class PaperModel(Frozen):
    """A model on which the paper tuned its settings."""

    lr: float
    """Learning rate of a trial."""
    layers: int


class TunedSetting(Frozen):
    """A setting that the paper found best for an objective, with the source of that claim."""

    objective: str
    splits: list[str]
    models: list[str]
    setting: dict[str, Value]
    source: str


class PaperTable(Frozen):
    """The content of configs/tables/paper.yaml."""

    models: dict[str, PaperModel]
    recipe: Recipe
    settings: list[TunedSetting]


@cache
def load_paper_table() -> PaperTable:
    """Read the paper's table; later calls return the same object."""
    return PaperTable.model_validate(yaml.safe_load((CONFIGS / "tables" / "paper.yaml").read_text(encoding="utf-8")))


def find_paper_setting(config: SweepConfig) -> Setting | None:
    """Return the paper's setting for a sweep, with a value for every hyper-parameter that it searches or fixes.

    Values that the paper did not tune are taken from its recipe, or else from the sweep's `fixed`. For a model that the
    paper does not have, the first matching row of the table stands in, with RMU's layer at the same relative depth.

    Returns:
        The setting; None where the paper has none for the objective, or no value for a searched hyper-parameter.
    """
    tuned = _find_tuned_setting(config)
    if tuned is None:
        return None
    setting = {**config.fixed, **_select_recipe_values(config), **_scale_layer(tuned, config)}
    wanted = [*config.space, *config.fixed]
    return {name: setting[name] for name in wanted} if setting.keys() >= set(wanted) else None


def is_stand_in(config: SweepConfig) -> bool:
    """Return True if the setting only stands in: the model is not the paper's, or the data not its data, unaltered."""
    return config.model.name not in load_paper_table().models or not config.data.is_paper_data


def recipe_differences(config: SweepConfig) -> list[str]:
    """List the differences from the paper's recipe, as `train.epochs = 1, not 5`; empty where there are none.

    Searched keys do not count as differences, nor does the learning rate on a model for which the paper has none. Any
    `train.precision` agrees with the recipe: the paper's code computes in bfloat16 over float32 weights (DeepSpeed),
    and none of our precisions loses an update that this keeps, so that only rounding differs.
    """
    own, recipe = config.with_setting(config.fixed), _resolve_recipe(config)
    found = {key: attrgetter(key)(own) for key in recipe.keys() - config.space.keys()}
    return [
        f"{key} = {json.dumps(found[key])}, not {' or '.join(map(json.dumps, recipe[key]))}"
        for key in recipe
        if key in found and found[key] not in recipe[key]
    ]


def list_qualifiers(config: SweepConfig) -> list[str]:
    """List the qualifiers of every comparison with the paper's setting: `stand-in`, `other recipe`, both or none."""
    said = {"stand-in": is_stand_in(config), "other recipe": bool(recipe_differences(config))}
    return [word for word, holds in said.items() if holds]


def _find_tuned_setting(config: SweepConfig) -> TunedSetting | None:
    """Return the table's row for the objective and split: this model's, or else the first; None without one."""
    rows = [
        row
        for row in load_paper_table().settings
        if row.objective == config.objective and config.data.paper_split in row.splits
    ]
    return next((row for row in rows if config.model.name in row.models), rows[0] if rows else None)


def _scale_layer(tuned: TunedSetting, config: SweepConfig) -> Setting:
    """Return the tuned values; on a model that is not in the row, `layer` is scaled to the same relative depth."""
    if "layer" not in tuned.setting or config.model.name in tuned.models:
        return tuned.setting
    share = float(tuned.setting["layer"]) / load_paper_table().models[tuned.models[0]].layers
    return tuned.setting | {"layer": round(share * config.model.layers)}


def _resolve_recipe(config: SweepConfig) -> Recipe:
    """Return the paper's recipe, with its learning rate for this model where it has one."""
    model = load_paper_table().models.get(config.model.name)
    return load_paper_table().recipe | ({} if model is None else {"train.lr": [model.lr]})


def _select_recipe_values(config: SweepConfig) -> Setting:
    """Return the recipe's values of the searchable training keys; a model without a paper rate keeps its own `lr`."""
    recipe: Recipe = {"train.lr": [config.train.lr], **_resolve_recipe(config)}
    first = {key: recipe[key][0] for key in ("retain.weight", "train.lr", "train.epochs")}
    return {key: value for key, value in first.items() if value is not None}
