"""What is on the hub: pinned to a commit when a sweep is planned, fetched as safetensors only, used without the hub."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import eval.run
from eval.datasets import load
from eval.models.checkpoint import count_layers, load_model, load_tokenizer
from eval.models.hub import resolve_commit
from eval.rows.types import DataError
from eval.shipped_configs import CONFIGS
from support import tofu
from support.commands import SMALL, refusal
from support.hubs import Hub, served, used
from support.servers import free_port
from support.tables import write_table
from support.toys import SHAPE, TEMPLATE, dataset, llama, tokenizer
from sweep.errors import ConfigError
from sweep.launch import main
from sweep.plan.launch_plan import LaunchPlan, plan_new, plan_resume

MODEL, ROWS = "somebody/model", "somebody/rows"
WORDS = [str(CONFIGS / "wtnpo.yaml"), *SMALL, f"model.path={MODEL}", "model.shape=null"]
WORDS += [f"model.layers={SHAPE.layers}", f"model.deepest={SHAPE.layers - 1}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model as one would push it, with a pickle beside it."""
    made = tmp_path_factory.mktemp("model")
    llama().save_pretrained(made)
    tokenizer().save_pretrained(made)
    (made / "pytorch_model.bin").write_bytes(b"a pickle")
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Hub]:
    """A hub with the model, which this process uses with an empty cache; its working directory is empty too."""
    monkeypatch.chdir(tmp_path)
    with served() as made:
        made.push(f"models/{MODEL}", folder)
        used(monkeypatch, made.address, tmp_path / "cache")
        yield made


def moved(hub: Hub, folder: Path, tmp_path: Path) -> str:
    """Another commit, with a model of one layer more in its configuration."""
    other = shutil.copytree(folder, tmp_path / "other")
    text = (other / "config.json").read_text()
    (other / "config.json").write_text(text.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    return hub.push(f"models/{MODEL}", other)


def begun(plans: LaunchPlan) -> None:
    """Make the sweep's folder, as a launch does."""
    with plans.plans[0].open_study():
        pass


def test_a_commit_is_what_the_branch_points_to(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """The first one, then after a push the second; a commit stands for itself."""
    first = hub.main[f"models/{MODEL}"]
    assert resolve_commit(MODEL, "model") == first
    second = moved(hub, folder, tmp_path)
    assert (
        resolve_commit(MODEL, "model"),
        resolve_commit(MODEL, "model", "main"),
        resolve_commit(MODEL, "model", first),
    ) == (
        second,
        second,
        first,
    )


def test_a_sweep_keeps_its_commit(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """It is in config.yaml; when the branch has moved --resume, with or without the first words, goes on with it."""
    first = hub.main[f"models/{MODEL}"]
    begun(plan_new(WORDS, "mine"))
    written = yaml.safe_load((tmp_path / "runs" / "mine" / "config.yaml").read_text())
    assert written["model"]["revision"] == first
    second = moved(hub, folder, tmp_path)
    for words in ([], WORDS):
        assert plan_resume(words, "mine").plans[0].config.model.revision == first
    with pytest.raises(ConfigError, match=r"^model\.layers = 2 must be 3"):
        plan_new(WORDS, "other")
    assert resolve_commit(MODEL, "model") == second


def test_a_revision_that_is_typed_is_pinned_too(hub: Hub) -> None:
    """A branch becomes its commit; one that is not there is refused, and nothing is left."""
    assert (
        plan_new([*WORDS, "model.revision=main"], "mine").plans[0].config.model.revision == hub.main[f"models/{MODEL}"]
    )
    with pytest.raises(ConfigError, match=r"^model.path = somebody/model is no folder and cannot be had from the hub"):
        plan_new([*WORDS, "model.revision=nosuch"], "mine")
    assert not Path("runs").exists()


def test_only_safetensors_are_fetched(hub: Hub, tmp_path: Path) -> None:
    """The pickle of the repository never reaches this machine; the model does, whole, and so does its tokenizer."""
    model, tokens = load_model(MODEL), load_tokenizer(MODEL)
    assert count_layers(MODEL) == model.config.num_hidden_layers == SHAPE.layers
    assert len(tokens) == len(tokenizer())
    assert not any("pytorch_model.bin" in path for path in hub.asked)
    assert list((tmp_path / "cache").rglob("*.safetensors"))
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_a_repository_of_pickles_is_refused(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """When the sweep is planned, by the names of its files: none of its weights is fetched."""
    other = shutil.copytree(folder, tmp_path / "other", ignore=shutil.ignore_patterns("*.safetensors"))
    hub.push(f"models/{MODEL}", other)
    reason = "has no model.safetensors, only pytorch_model.bin, a pickle, which can run code when it is read"
    with pytest.raises(ConfigError, match=f"^model.path = {MODEL} {reason}$"):
        plan_new(WORDS, "mine")
    assert not Path("runs").exists()
    assert not any("resolve" in path for path in hub.asked)


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_in_the_cache_needs_no_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """With the hub gone, or with HF_HUB_OFFLINE=1: the commit that the cache knows, recorded as always."""
    first = hub.main[f"models/{MODEL}"]
    load_model(MODEL)
    pauses = used(monkeypatch, f"http://127.0.0.1:{free_port()}", tmp_path / "cache", offline=offline)
    hub.asked.clear()
    assert plan_new(WORDS, "mine").plans[0].config.model.revision == first
    assert load_model(MODEL, first).config.num_hidden_layers == SHAPE.layers
    assert hub.asked == []
    assert pauses == []


def test_a_pinned_model_in_the_cache_is_not_asked_for(hub: Hub) -> None:
    """Not even where the hub answers, so that a hub which never answers costs no time."""
    load_model(MODEL)
    hub.asked.clear()
    plan_new([*WORDS, f"model.revision={hub.main[f'models/{MODEL}']}"], "mine")
    assert hub.asked == []


def test_a_description_in_the_cache_is_enough_to_plan(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the hub gone, it is asked once for the names of the weights, not again and again."""
    count_layers(MODEL)
    pauses = used(monkeypatch, f"http://127.0.0.1:{free_port()}", tmp_path / "cache")
    first = hub.main[f"models/{MODEL}"]
    assert plan_new([*WORDS, f"model.revision={first}"], "mine").plans[0].config.model.revision == first
    assert pauses == []


def test_a_hub_out_of_reach_is_one_sentence(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said at once, by name, and nothing is left behind."""
    used(monkeypatch, f"http://127.0.0.1:{free_port()}", tmp_path / "cache")
    said = refusal(main, capsys, *WORDS)
    assert said.startswith("error: model.path = somebody/model is no folder and cannot be had from the hub (")
    assert "could not be reached" in said
    assert list(tmp_path.iterdir()) == []


def test_rows_of_the_hub_are_those_of_a_folder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the commit that is named, also when the branch has moved, and without the hub; other files stay there."""
    rows = tofu.write(tmp_path / "rows", tofu.toy())
    (rows / "data.parquet").write_bytes(b"not asked for")
    first = hub.push(f"datasets/{ROWS}", rows)
    config = tofu.config(ROWS).model_copy(update={"revision": first})
    assert load(config) == load(tofu.config(rows))
    (rows / "retain99.json").write_text("")
    hub.push(f"datasets/{ROWS}", rows)
    assert load(config).retain
    with pytest.raises(DataError, match=r"^data.path=somebody/rows: retain99 has no rows$"):
        load(tofu.config(ROWS))
    assert not any("parquet" in path for path in hub.asked)
    used(monkeypatch, hub.address, tmp_path / "cache", offline=True)
    assert load(config).retain


def test_a_measured_checkpoint_has_its_commit(hub: Hub, tmp_path: Path) -> None:
    """In the file of its scores; a folder has none."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.json").write_text(dataset().to_json(), encoding="utf-8")
    words = [MODEL, "--data", str(tmp_path / "rows"), "--question", TEMPLATE.question, "--answer", TEMPLATE.answer]
    assert eval.run.main([*words, "--out", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert (scores["checkpoint"], scores["revision"]) == (MODEL, hub.main[f"models/{MODEL}"])


def test_own_rows_of_the_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep names their commit; it keeps them when the branch has moved, and tells a split that is not there."""
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.address)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache" / "datasets")
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "README.md").write_text("Letters.\n")
    for split, names in {"train": "AB", "test": "CDEFG"}.items():
        write_table(rows / f"{split}.jsonl", [tofu.plain(name) for name in names])
    first = hub.push(f"datasets/{ROWS}", rows)
    words = [str(CONFIGS / "wtnpo.yaml"), "data=own", f"data.forget={ROWS}:train", f"data.retain={ROWS}:test"]
    begun(plan_new(words, "mine"))
    written = yaml.safe_load((tmp_path / "runs" / "mine" / "config.yaml").read_text())
    assert written["data"]["forget"] == f"{ROWS}@{first}:train"
    write_table(rows / "train.jsonl", [tofu.plain("Z")])
    hub.push(f"datasets/{ROWS}", rows)
    assert [row.question for row in plan_resume(words, "mine").plans[0].dataset.forget] == ["What is A?", "What is B?"]
    with pytest.raises(DataError, match=rf"^{ROWS}:nosuch cannot be read as rows: Unknown split"):
        plan_new([*words, f"data.forget={ROWS}:nosuch"], "other")
