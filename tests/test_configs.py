"""The shipped configs: all of them compose with all groups, and the paper's settings are found where they belong."""

from pathlib import Path

import pytest
import yaml

from sweep.compose import SHIPPED, load
from sweep.config import Range, SweepConfig
from sweep.explain import GROUPS
from sweep.matrix import is_matrix
from sweep.recovery import paper_setting, stand_in, table
from sweep.space import check

SWEEPS = sorted(path.stem for path in SHIPPED.glob("*.yaml") if path.stem != "base" and not is_matrix(path))
OPTIONS = {group: sorted(path.stem for path in (SHIPPED / group).glob("*.yaml")) for group in GROUPS}
ROUNDS = range(max(map(len, OPTIONS.values())))
SPLITS = ("forget01", "forget05", "forget10")


def composed(name: str, *overrides: str) -> SweepConfig:
    """A shipped sweep with overrides."""
    return load(SHIPPED / f"{name}.yaml", overrides)


def test_groups_have_the_options_that_the_readme_names() -> None:
    """The options of each group; a lost file would not be missed by the test below."""
    assert {"llama-2-7b", "phi-1.5", "smollm2-135m", "tiny"} <= set(OPTIONS["model"])
    assert {"authors", "tofu-forget01", "tofu-forget05", "tofu-forget10"} <= set(OPTIONS["data"])
    assert {"a100", "local"} <= set(OPTIONS["cluster"])
    assert OPTIONS["recipe"] == ["default", "paper"]


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("turn", ROUNDS)
def test_every_config_composes_with_every_option(name: str, turn: int) -> None:
    """In each turn every group takes its next option, until each has had all of its own; each block is the option's."""
    chosen = {group: options[turn % len(options)] for group, options in OPTIONS.items()}
    config = composed(name, *(f"{group}={option}" for group, option in chosen.items()))
    check(config)
    names = {"model": config.model.name, "data": config.data.name, "cluster": config.cluster.name}
    assert names | {"recipe": config.recipe} == chosen


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("split", SPLITS)
def test_the_paper_lies_strictly_inside_every_space(name: str, split: str) -> None:
    """A search whose bounds are the paper's values could not find that they are best; λ of the paper is 1."""
    config = composed(name, f"data=tofu-{split}")
    paper = {"retain.weight": 1.0} | (paper_setting(config) or {})
    for key in config.space.keys() & paper.keys():
        entry = config.space[key]
        assert isinstance(entry, Range)
        assert entry.low < float(paper[key]) < entry.high


@pytest.mark.parametrize("name", SWEEPS)
def test_every_config_says_how_it_runs(name: str) -> None:
    """The second line or a later one of the head is the exact command."""
    head = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").partition("defaults:")[0]
    assert f"#   python -m sweep.launch configs/{name}.yaml\n" in head


PAPER = [
    # Objective, then for forget01, forget05, forget10: the paper's table as it is printed.
    ("wga", "alpha", (5, 5, 7)),
    ("npo", "beta", (0.5, 0.5, 0.5)),
    ("tnpo", "beta", (4, 4, 5)),
    ("wtnpo", "alpha", (1.5, 1.5, 1.5)),
    ("wtnpo", "beta", (5, 5, 7)),
]


@pytest.mark.parametrize("model", ["tiny", "phi-1.5", "llama-2-7b"])
@pytest.mark.parametrize(("name", "key", "values"), PAPER)
def test_paper_setting_agrees_with_the_printed_table(
    name: str, key: str, values: tuple[float, ...], model: str
) -> None:
    """By objective and split; the table has one value for both of its models, which stands in on others."""
    found = [paper_setting(composed(name, f"model={model}", f"data=tofu-{split}")) for split in SPLITS]
    assert [setting[key] if setting else None for setting in found] == list(values)


@pytest.mark.parametrize(
    ("model", "layer", "c"),
    [
        ("phi-1.5", 9, 4.0),
        ("llama-2-7b", 21, 2.0),
        ("tiny", 2, 4.0),  # 9/24 · 4 = 1.5, rounded
        ("smollm2-135m", 11, 4.0),  # 9/24 · 30 = 11.25, rounded
    ],
)
def test_layer_of_rmu_keeps_its_depth(model: str, layer: int, c: float) -> None:
    """The paper's layer of its own models, the same share of another's layers; normalize is as the config fixes it."""
    setting = paper_setting(composed("rmu", f"model={model}"))
    assert setting == {"layer": layer, "c": c, "normalize": False}
    assert setting is not None and type(setting["layer"]) is int


def test_paper_setting_has_a_value_for_all_that_the_sweep_searches() -> None:
    """λ = 1 and 5 epochs of its recipe; its learning rate on its own model, the model's own on another."""
    wanted = ["space.retain.weight={low: 0.1, high: 9}", "space.train.lr={low: 1e-6, high: 1}", "fixed.train.epochs=3"]
    on_tiny = paper_setting(composed("wtnpo", *wanted, "train.lr=0.25"))
    on_phi = paper_setting(composed("wtnpo", *wanted, "model=phi-1.5", "train.lr=0.25"))
    rest = {"alpha": 1.5, "beta": 7.0, "retain.weight": 1.0, "train.epochs": 5}
    assert on_tiny == rest | {"train.lr": 0.25}
    assert on_phi == rest | {"train.lr": 2e-5}


@pytest.mark.parametrize("name", ["ga", "gd", "simnpo", "idk"])
def test_paper_setting_is_none_where_the_paper_tuned_nothing(name: str) -> None:
    """No row of the table, no setting."""
    assert paper_setting(composed(name)) is None


RECOVERY = ("model=phi-1.5", "data=tofu-forget10")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("model", ["phi-1.5", "llama-2-7b"])
def test_model_data_and_recipe_of_the_paper_are_no_stand_in(model: str, split: str, tmp_path: Path) -> None:
    """Both models on all splits; where the data lies, on how many GPUs and with how many trials makes no difference."""
    assert not stand_in(composed("wtnpo", f"model={model}", f"data=tofu-{split}"))
    elsewhere = (f"data.path={tmp_path}", "cluster=a100", "search.trials=3", "seed=5", "train.clip=1")
    assert not stand_in(composed("wtnpo", f"model={model}", f"data=tofu-{split}", *elsewhere))


@pytest.mark.parametrize(
    "change",
    [
        "model=smollm2-135m",
        "data=authors",
        "recipe=default",
        "data.max_retain=320",
        "data.max_holdout=80",
        "train.lr=1e-3",
        "train.epochs=1",
        "train.batch=8",
        "retain.weight=0.3",
        "retain.term=nll",
        "retain.reduction=tokens",
    ],
)
def test_any_change_of_the_recipe_is_a_stand_in(change: str) -> None:
    """One thing changed, under whatever name it goes, and the run is no recovery."""
    group = change.partition("=")[0]
    kept = [choice for choice in RECOVERY if not choice.startswith(f"{group}=")]
    recipe = [] if group == "recipe" else ["recipe=paper"]
    assert stand_in(composed("wtnpo", *kept, *recipe, change))


def test_every_tuned_setting_has_its_source_and_its_models() -> None:
    """Each row names a paper, models of the table, and an objective that is shipped where it has a config."""
    for row in table().settings:
        assert "arXiv 2502.19301" in row.source
        assert set(row.models) <= table().models.keys()
        assert (row.objective in SWEEPS) and row.setting


@pytest.mark.parametrize("name", ["phi-1.5", "llama-2-7b"])
def test_models_of_the_table_are_the_shipped_ones(name: str) -> None:
    """Layers and learning rate are written twice, in the table and in the model's file, and agree."""
    model = yaml.safe_load((SHIPPED / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    paper = table().models[name]
    assert (model["model"]["layers"], model["train"]["lr"]) == (paper.layers, paper.lr)
