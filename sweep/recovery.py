"""The paper's tuned settings (configs/tables/paper.yaml): which of them a sweep ought to find again."""

from functools import cache

import yaml

from sweep.compose import SHIPPED
from sweep.config import Frozen, SweepConfig
from sweep.record import Setting, Value


class PaperModel(Frozen):
    """A model on which the paper tuned."""

    lr: float
    """Learning rate of a trial."""
    layers: int


class PaperRecipe(Frozen):
    """How the paper trained."""

    epochs: int
    batch: int
    weight: float
    """λ, the weight of the retain term."""


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
    recipe: PaperRecipe
    settings: list[Tuned]


@cache
def table() -> Table:
    """The paper's table, read once."""
    return Table.model_validate(yaml.safe_load((SHIPPED / "tables" / "paper.yaml").read_text(encoding="utf-8")))


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
    setting = {**config.fixed, **_recipe(config), **_at_depth(tuned, config)}
    wanted = [*config.space, *config.fixed]
    return {name: setting[name] for name in wanted} if setting.keys() >= set(wanted) else None


def stand_in(config: SweepConfig) -> bool:
    """Whether the paper's setting only stands in: true unless model, data and recipe are the paper's, unaltered."""
    paper, model, data, train = table(), table().models.get(config.model.name), config.data, config.train
    return not (
        model is not None
        and (data.source, data.max_retain, data.max_holdout) == ("tofu", None, None)
        and config.recipe == "paper"
        and (train.lr, train.epochs, train.batch) == (model.lr, paper.recipe.epochs, paper.recipe.batch)
        and (config.retain.term, config.retain.weight) == ("kl", paper.recipe.weight)
        and config.retain.reduction == "padded500"
    )


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


def _recipe(config: SweepConfig) -> Setting:
    """The paper's values of what may be searched beside the objective's fields; a stand-in keeps its learning rate."""
    paper, model = table(), table().models.get(config.model.name)
    lr = config.train.lr if model is None else model.lr
    return {"retain.weight": paper.recipe.weight, "train.lr": lr, "train.epochs": paper.recipe.epochs}
