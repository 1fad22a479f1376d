"""The paper's tuned settings (configs/tables/paper.yaml), and the one that a sweep should find again.

python -m sweep.search.paper FOLDER prints the digests of the rows of TOFU in a folder, which the table holds.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TypeAlias, get_args

import yaml

from eval import datasets
from eval.models.hub import is_repo_id
from eval.options import Frozen
from eval.rows.types import DataError, Dataset
from eval.shipped_configs import CONFIGS
from sweep.config.model_schema import LoraConfig, ModelConfig, TargetConfig
from sweep.config.schema import SweepConfig
from sweep.records import Setting, Value

Recipe: TypeAlias = dict[str, list[Value | None]]
"""The paper's training recipe: its values by configuration key, the value of its code first."""


class PaperModel(Frozen):
    """A model on which the paper tuned its settings."""

    lr: float
    """Learning rate of a trial."""
    layers: int
    repositories: list[str]
    """Ids on the hub."""
    architecture: dict[str, int | list[str]]
    """Keys of its config.json that tell it from other models."""


class PaperRows(Frozen):
    """The rows of TOFU."""

    repositories: list[str]
    """Ids on the hub."""
    digests: dict[datasets.PaperSplit, str]
    """`digest_rows`, by the split that is forgotten."""


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
    rows: PaperRows
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
    """Return True if the setting only stands in: the model is not the paper's, or the data not its data, unaltered.

    Names say nothing: a model or rows in a folder are read, and are not the paper's where they cannot be read.
    """
    model = load_paper_table().models.get(config.model.name)
    return model is None or not _is_paper_model(config, model) or not _has_paper_rows(config.data)


def recipe_differences(config: SweepConfig) -> list[str]:
    """List the differences from the paper's recipe, as `train.epochs = 1, not 5`; empty where there are none.

    Searched keys do not count as differences, nor does the learning rate on a model for which the paper has none. Any
    `train.precision` agrees with the recipe: the paper's code computes in bfloat16 over float32 weights (DeepSpeed),
    and none of our precisions loses an update that this keeps, so that only rounding differs.
    """
    own, recipe = config.with_setting(config.fixed), _resolve_recipe(config)
    values = {key: attrgetter(key)(own) for key in recipe.keys() - config.space.keys()}
    found = {key: value.model_dump() if isinstance(value, LoraConfig) else value for key, value in values.items()}
    return [
        f"{key} = {json.dumps(found[key])}, not {' or '.join(map(json.dumps, recipe[key]))}"
        for key in recipe
        if key in found and found[key] not in recipe[key]
    ]


def list_qualifiers(config: SweepConfig) -> list[str]:
    """List the qualifiers of every comparison with the paper's setting: `stand-in`, `other recipe`, both or none."""
    said = {"stand-in": is_stand_in(config), "other recipe": bool(recipe_differences(config))}
    return [word for word, holds in said.items() if holds]


def digest_rows(rows: Dataset) -> str:
    """Return the digest of the texts on which a score depends: questions, answers and paraphrased questions."""
    parts = [
        [[row.question, row.answer, row.paraphrased_question] for row in part]
        for part in (rows.forget, rows.retain, rows.holdout)
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _is_paper_model(config: SweepConfig, model: PaperModel) -> bool:
    """Return True if the model is the paper's, and a target that is fine-tuned already has its architecture."""
    if config.model.path not in model.repositories and not _has_architecture(config.model, model):
        return False
    return config.target.path is None or _has_architecture(config.target, model)


def _has_architecture(block: ModelConfig | TargetConfig, model: PaperModel) -> bool:
    """Return True if the config.json of a model, in its folder or in the hub's cache, has the paper's values."""
    found = _read_config(block)
    return all(found.get(key) == value for key, value in model.architecture.items())


def _read_config(block: ModelConfig | TargetConfig) -> Mapping[str, object]:
    """Read the config.json of a model without network access; empty where it cannot be read."""
    if block.path is None:
        return {}
    file = Path(block.path) / "config.json"
    if not file.parent.is_dir() and is_repo_id(block.path, "model"):
        from huggingface_hub import try_to_load_from_cache  # slow to import

        file = Path(str(try_to_load_from_cache(block.path, file.name, revision=block.revision)))
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or damaged
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _has_paper_rows(data: datasets.DatasetOptions) -> bool:
    """Return True if the rows are the paper's: as the dataset itself says, and for files by their content."""
    path, known = getattr(data, "path", None), load_paper_table().rows
    if data.paper_split is None:
        return False
    if not data.is_paper_data or path is None or path in known.repositories:
        return data.is_paper_data
    try:
        return digest_rows(datasets.load(data)) == known.digests[data.paper_split]
    except DataError:
        return False


def _find_tuned_setting(config: SweepConfig) -> TunedSetting | None:
    """Return the table's row for the objective and split: this model's, or else the first; None without one."""
    rows = [
        row
        for row in load_paper_table().settings
        if row.objective == config.objective and config.data.paper_split in row.splits
    ]
    return next((row for row in rows if config.model.name in row.models), rows[0] if rows else None)


def _scale_layer(tuned: TunedSetting, config: SweepConfig) -> Setting:
    """Return the tuned values; on a model with another number of layers, `layer` has the same relative depth."""
    if "layer" not in tuned.setting:
        return tuned.setting
    share = float(tuned.setting["layer"]) / load_paper_table().models[tuned.models[0]].layers
    return tuned.setting | {"layer": round(share * config.model.layers)}


def _resolve_recipe(config: SweepConfig) -> Recipe:
    """Return the paper's recipe, with its learning rate for this model where it has one."""
    model = load_paper_table().models.get(config.model.name)
    return load_paper_table().recipe | ({} if model is None else {"train.lr": [model.lr]})


def _select_recipe_values(config: SweepConfig) -> Setting:
    """Return the recipe's values of the searchable training keys.

    Adapters, and models without a paper rate, keep their own `lr`.
    """
    own: Recipe = {"train.lr": [config.train.lr]}
    recipe = own | _resolve_recipe(config) | ({} if config.train.lora is None else own)
    first = {key: recipe[key][0] for key in ("retain.weight", "train.lr", "train.epochs")}
    return {key: value for key, value in first.items() if value is not None}


def _print_digests(folder: str) -> None:
    """Print the digest of TOFU's rows for each split that can be forgotten, as YAML."""
    tofu = datasets.load_options("tofu")
    options = {"source": "tofu", "name": "tofu", "path": folder, "revision": None, "unseen": None}
    for split in get_args(datasets.PaperSplit):
        data = tofu.model_validate(options | {"paper_split": split, "max_retain": None, "max_holdout": None})
        print(f"{split}: {digest_rows(datasets.load(data))}")


if __name__ == "__main__":
    _print_digests(sys.argv[1])
