"""The shipped configs: all of them compose with all groups, and every space has the paper's setting inside."""

import pytest

from eval.shipped_configs import CONFIGS, GROUPS
from support.composing import SWEEPS, load_shipped
from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Range
from sweep.config.space import validate_space
from sweep.search.paper import find_paper_setting

OPTIONS = {group: sorted(path.stem for path in (CONFIGS / group).glob("*.yaml")) for group in GROUPS}
ROUNDS = range(max(len(options) for group, options in OPTIONS.items() if group != "model"))
SPLITS = {"tofu-forget01", "tofu-forget05", "tofu-forget10"}


def chosen(turn: int) -> dict[str, str]:
    """An option of each group: in each turn the next, until each has had all of its own, but for the many models."""
    return {group: options[turn % len(options)] for group, options in OPTIONS.items()}


def composed(name: str, turn: int) -> SweepConfig:
    """A shipped sweep with the options of a turn; the group of any model gets one, and that of own rows tables."""
    options = chosen(turn)
    tables = ["data.forget=forget.jsonl", "data.retain=retain.jsonl"] if options["data"] == "own" else []
    path = ["model.path=a/b", "model.layers=4", "model.deepest=3"] if options["model"] == "hf" else []
    return load_shipped(name, *(f"{group}={option}" for group, option in options.items()), *tables, *path)


def test_groups_have_the_options_that_the_readme_names() -> None:
    """The options of each group; a lost file would not be missed by the tests below."""
    assert {"hf", "llama-2-7b", "llama-3.2-1b", "phi-1.5", "smollm2-135m", "tiny"} <= set(OPTIONS["model"])
    assert {"authors", "own", *SPLITS} <= set(OPTIONS["data"])
    assert {"a100", "local"} <= set(OPTIONS["cluster"])
    assert OPTIONS["recipe"] == ["default", "paper"]


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("turn", ROUNDS)
def test_every_config_composes_with_every_option(name: str, turn: int) -> None:
    """Each block is the option's, and the space is one that the objective takes."""
    config = composed(name, turn)
    validate_space(config)
    names = {"model": config.model.name, "data": config.data.name, "cluster": config.cluster.name}
    assert names | {"recipe": config.recipe} == chosen(turn)


@pytest.mark.parametrize("turn", range(len(OPTIONS["model"])))
def test_every_model_composes(turn: int) -> None:
    """With RMU, whose space ends at the model's deepest layer."""
    config = composed("rmu", turn)
    validate_space(config)
    assert config.model.name == OPTIONS["model"][turn]


@pytest.mark.parametrize("name", SWEEPS)
def test_the_paper_lies_strictly_inside_every_space(name: str) -> None:
    """A search whose bounds are the paper's values could not find that they are best; λ of the paper is 1."""
    split = {chosen(turn)["data"]: turn for turn in ROUNDS}
    assert split.keys() >= SPLITS
    for config in [*(composed(name, split[data]) for data in SPLITS), load_shipped(name)]:
        paper = {"retain.weight": 1.0} | (find_paper_setting(config) or {})
        for key in config.space.keys() & paper.keys():
            entry = config.space[key]
            assert isinstance(entry, Range)
            assert entry.low < float(paper[key]) < entry.high


@pytest.mark.parametrize("name", SWEEPS)
def test_every_config_says_how_it_runs(name: str) -> None:
    """The second line or a later one of the head is the exact command."""
    head = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8").partition("defaults:")[0]
    assert f"#   python -m sweep.launch configs/{name}.yaml\n" in head
