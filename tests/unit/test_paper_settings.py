"""The paper's table: its settings are found where they belong, and what is not the paper's is said to be so."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from eval import datasets
from eval.rows.types import Dataset, Row
from eval.shipped_configs import CONFIGS
from support import tofu
from support.composing import load_shipped
from sweep.config.schema import SweepConfig
from sweep.search import paper
from sweep.search.paper import (
    digest_rows,
    find_paper_setting,
    is_stand_in,
    list_qualifiers,
    load_paper_table,
    recipe_differences,
)

PRECISIONS = ("float32", "master", "kahan")
SPLITS = ("forget01", "forget05", "forget10")


def with_split(split: str, config: SweepConfig) -> SweepConfig:
    """The sweep on the data of a split."""
    return config.model_copy(update={"data": load_shipped("wtnpo", f"data=tofu-{split}").data})


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
    config = load_shipped(name, f"model={model}", "recipe=paper")
    found = [find_paper_setting(with_split(split, config)) for split in SPLITS]
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
    setting = find_paper_setting(load_shipped("rmu", f"model={model}"))
    assert setting == {"layer": layer, "c": c, "normalize": False}
    assert setting is not None and type(setting["layer"]) is int


def test_layer_of_rmu_on_a_small_model_under_the_paper_s_name() -> None:
    """9/24 · 2 = 0.75, rounded: layer 9 is not there."""
    setting = find_paper_setting(load_shipped("rmu", "model=phi-1.5", "model.layers=2", "model.deepest=1"))
    assert setting == {"layer": 1, "c": 4.0, "normalize": False}


def test_paper_setting_has_a_value_for_all_that_the_sweep_searches() -> None:
    """λ = 1 and 5 epochs of its recipe; its learning rate on its own model, the model's own on another."""
    wanted = ["space.retain.weight={low: 0.1, high: 9}", "space.train.lr={low: 1e-6, high: 1}", "fixed.train.epochs=3"]
    on_tiny = find_paper_setting(load_shipped("wtnpo", *wanted, "train.lr=0.25"))
    on_phi = find_paper_setting(load_shipped("wtnpo", *wanted, "model=phi-1.5", "train.lr=0.25"))
    rest = {"alpha": 1.5, "beta": 7.0, "retain.weight": 1.0, "train.epochs": 5}
    assert on_tiny == rest | {"train.lr": 0.25}
    assert on_phi == rest | {"train.lr": 2e-5}


@pytest.mark.parametrize("name", ["ga", "gd", "simnpo", "idk"])
def test_paper_setting_is_none_where_the_paper_tuned_nothing(name: str) -> None:
    """No row of the table, no setting."""
    assert find_paper_setting(load_shipped(name)) is None


PHI, FORGET10 = "model=phi-1.5", "data=tofu-forget10"


@pytest.mark.parametrize("model", ["phi-1.5", "llama-2-7b"])
def test_model_data_and_recipe_of_the_paper_need_no_qualifier(model: str) -> None:
    """Both models on all splits; on how many GPUs and with how many trials makes no difference."""
    for split in SPLITS:
        assert list_qualifiers(with_split(split, load_shipped("wtnpo", f"model={model}"))) == []
    elsewhere = ("cluster=a100", "search.trials=3", "seed=5")
    assert list_qualifiers(load_shipped("wtnpo", f"model={model}", FORGET10, *elsewhere)) == []


def config_json(folder: Path, **changes: object) -> Path:
    """A folder with the config.json of Phi-1.5, as the paper has it, and changes."""
    values = {
        "architectures": ["PhiForCausalLM"],
        "num_hidden_layers": 24,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "vocab_size": 51200,
        "torch_dtype": "float16",
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values | changes))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["Qwen2ForCausalLM"]},
        {"num_hidden_layers": 2},
        {"hidden_size": 64},
        {"intermediate_size": 128},
        {"num_attention_heads": 16},
        {"vocab_size": 51201},
    ],
)
@pytest.mark.parametrize("block", ["model", "target"])
def test_a_model_in_a_folder_is_told_by_its_architecture(block: str, change: dict[str, object], tmp_path: Path) -> None:
    """Whatever its group is called: the same is the paper's, and with one value changed it is a stand-in."""
    path = f"{block}.path={config_json(tmp_path / 'm')}"
    assert not is_stand_in(load_shipped("wtnpo", PHI, FORGET10, path))
    config_json(tmp_path / "m", **change)
    assert is_stand_in(load_shipped("wtnpo", PHI, FORGET10, path))
    assert is_stand_in(load_shipped("wtnpo", "model=llama-2-7b", FORGET10, path))


@pytest.mark.parametrize("path", ["someone/phi", "NousResearch/Llama-2-7b-chat-hf", "/nowhere", "null"])
def test_a_model_that_is_not_known_is_a_stand_in(path: str) -> None:
    """Another id that the hub's cache does not have, the other model's id, no folder, one made from a shape."""
    shape = "model.shape={layers: 24, hidden: 8, intermediate: 8, heads: 1, vocabulary: 300}"
    assert is_stand_in(load_shipped("wtnpo", PHI, FORGET10, f"model.path={path}", shape))


def test_rows_in_a_folder_are_told_by_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that the table knows are the paper's wherever they lie; others, fewer, or none are a stand-in."""
    known = tofu.write(tmp_path / "known", tofu.toy())
    digests = {"forget01": digest_rows(datasets.load(tofu.config(known)))}
    table = load_paper_table()
    rows = table.rows.model_copy(update={"digests": digests})
    monkeypatch.setattr(paper, "load_paper_table", lambda: table.model_copy(update={"rows": rows}))

    def qualifiers(folder: Path, *more: str) -> list[str]:
        return list_qualifiers(load_shipped("wtnpo", PHI, "data=tofu-forget01", f"data.path={folder}", *more))

    assert qualifiers(known) == qualifiers(tofu.write(tmp_path / "copy", tofu.toy())) == []
    assert qualifiers(known, "data.max_retain=1") == ["stand-in"]
    for number, change in enumerate(
        (
            tofu.both(tofu.put("forget01", 1, answer="A!"), tofu.put("forget01_perturbed", 1, answer="A!")),
            tofu.put("forget01_perturbed", 2, paraphrased_question="Who?"),
            tofu.put("retain99", 5, answer="G!"),
            tofu.add("retain99", tofu.plain("H")),
        )
    ):
        change(splits := tofu.toy())
        assert qualifiers(tofu.write(tmp_path / str(number), splits)) == ["stand-in"]
    assert qualifiers(tmp_path) == ["stand-in"]


def test_the_digest_of_rows_is_of_their_texts() -> None:
    """SHA-256 of the JSON of forget, retain and holdout rows."""
    rows = [Row(question="q", answer=answer, paraphrased_question="p") for answer in "abc"]
    made = Dataset(forget=(rows[0],), retain=(rows[1],), holdout=(rows[2],))
    text = '[[["q", "a", "p"]], [["q", "b", "p"]], [["q", "c", "p"]]]'
    assert digest_rows(made) == hashlib.sha256(text.encode()).hexdigest()
    assert {*load_paper_table().rows.digests} == {*SPLITS}


@pytest.mark.parametrize("same", ["train.clip=1", "train.clip=null", *(f"train.precision={p}" for p in PRECISIONS)])
def test_what_the_paper_leaves_open_is_its_recipe(same: str) -> None:
    """Its text clips and its code does not; each of our precisions keeps the updates that its own keeps."""
    assert recipe_differences(load_shipped("wtnpo", PHI, FORGET10, same)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.lr=1e-3", "train.lr = 0.001, not 2e-05"),
        ("train.epochs=1", "train.epochs = 1, not 5"),
        ("train.batch=8", "train.batch = 8, not 16"),
        ("train.warmup_from=1", "train.warmup_from = 1, not 0"),
        ("train.clip=0.5", "train.clip = 0.5, not null or 1.0"),
        ("retain.weight=0.3", "retain.weight = 0.3, not 1.0"),
        ("retain.term=nll", 'retain.term = "nll", not "kl"'),
        ("retain.reduction=tokens", 'retain.reduction = "tokens", not "padded500"'),
        ("fixed.train.epochs=1", "train.epochs = 1, not 5"),
    ],
)
def test_any_change_of_the_recipe_is_another_recipe(change: str, said: str) -> None:
    """One thing changed, under whatever name it goes; model and data are the paper's all the same."""
    config = load_shipped("wtnpo", PHI, FORGET10, change)
    assert recipe_differences(config) == [said]
    assert list_qualifiers(config) == ["other recipe"]


def test_the_default_recipe_is_another_one() -> None:
    """On the paper's model and data it differs in the first step's number and in the positions of the KL."""
    config = load_shipped("wtnpo", PHI, FORGET10, "recipe=default")
    assert recipe_differences(config) == [
        "train.warmup_from = 1, not 0",
        'retain.reduction = "tokens", not "padded500"',
    ]
    assert list_qualifiers(config) == ["other recipe"]


def test_what_is_searched_is_no_other_recipe() -> None:
    """Where the paper's value is one of those that the search may come to."""
    searched = ("space.train.lr={low: 1e-6, high: 1e-3, log: true}", "space.retain.weight={low: 0.1, high: 9}")
    assert (
        recipe_differences(load_shipped("wtnpo", PHI, FORGET10, "train.lr=1e-4", "retain.weight=2.0", *searched)) == []
    )


@pytest.mark.parametrize("change", ["model=smollm2-135m", "data=authors", "data.max_retain=320", "data.max_holdout=80"])
def test_any_change_of_model_or_data_is_a_stand_in(change: str) -> None:
    """The recipe may be the paper's all the same; on a model that it did not tune its learning rate says nothing."""
    group = change.partition("=")[0]
    kept = [choice for choice in (PHI, FORGET10) if not choice.startswith(f"{group}=")]
    config = load_shipped("wtnpo", *kept, "recipe=paper", change)
    assert is_stand_in(config)
    assert list_qualifiers(config) == ["stand-in"]


def test_the_embedded_default_needs_both_qualifiers() -> None:
    """Another model, other data, another λ and another mean."""
    assert list_qualifiers(load_shipped("wtnpo")) == ["stand-in", "other recipe"]


def test_every_tuned_setting_has_its_source_and_its_models() -> None:
    """Each row names a paper, models of the table, and an objective that has a config."""
    for row in load_paper_table().settings:
        assert "arXiv 2502.19301" in row.source
        assert set(row.models) <= load_paper_table().models.keys()
        assert (CONFIGS / f"{row.objective}.yaml").is_file() and row.setting


@pytest.mark.parametrize("name", ["phi-1.5", "llama-2-7b"])
def test_models_of_the_table_are_the_shipped_ones(name: str) -> None:
    """Layers and learning rate are written twice, in the table and in the model's file, and agree."""
    model = yaml.safe_load((CONFIGS / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    paper = load_paper_table().models[name]
    assert (model["model"]["layers"], model["train"]["lr"]) == (paper.layers, paper.lr)
