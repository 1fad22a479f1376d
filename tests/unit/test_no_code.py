"""Configurations never run code: tags, `_target_`, resolvers and Hydra's own keys, wherever YAML or a word is read."""

import os
from pathlib import Path

import pytest

from eval.shipped_configs import CONFIGS
from support.commands import refusal
from sweep import launch, submit
from sweep.config.compose import dump, load
from sweep.config.stored import CONFIG_FILE, SWEEP_LIST_FILE, dump_stored_config
from sweep.errors import ConfigError
from sweep.report.__main__ import main as report

HEAD = (
    "defaults: [base, model: tiny, data: authors, recipe: default, cluster: local, _self_]\nobjective: ga\nspace: {}\n"
)
GLOBAL = "# @package _global_\n"
TARGET = "{_target_: os.mkdir, _args_: [made], path: made}"
HOSTILE = {
    "apply": "model: !!python/object/apply:os.mkdir [made]\n",
    "new": "model: !!python/object/new:os.mkdir [made]\n",
    "name": "model: !!python/name:os.mkdir\n",
    "path": "model: {path: !!python/object/apply:pathlib.Path [made]}\n",
    "key": "? !!python/object/apply:os.mkdir [made]\n: 1\n",
    "local": "model: !mine {a: 1}\n",
    "directive": "%TAG ! tag:yaml.org,2002:python/object/apply:\n---\nmodel: !os.mkdir [made]\n",
    "target": f"model: {TARGET}\n",
    "below": f"model: {{shape: {TARGET}}}\n",
    "entry": f"fixed: {{alpha: {TARGET}}}\n",
    "env": "storage: ${oc.env:PLANTED}\n",
    "create": "model: ${oc.create:{_target_: os.mkdir}}\n",
    "nested": "storage: ${${objective}:PLANTED}\n",
    "callback": f"hydra: {{callbacks: {{x: {TARGET}}}}}\n",
    "searchpath": "hydra: {searchpath: [file://.]}\n",
    "copy": "hydra: {job: {env_copy: [PLANTED]}}\nstorage: ${hydra.job.env_set.PLANTED}\n",
}
"""What would make a folder, or bring a secret of the environment into a message or a file."""
WORDS = (
    *("model=!!python/object/apply:os.mkdir", f"model={TARGET}", f"+fixed.alpha={TARGET}", "storage=${oc.env:PLANTED}"),
    *(
        f"hydra.callbacks.x={TARGET}",
        f"+hydra.callbacks={{x: {TARGET}}}",
        "hydra/launcher=basic",
        "hydra.searchpath=[.]",
    ),
    *("+hydra@model=x", "/hydra.run.dir=made", "++hydra.job.env_copy=[PLANTED]", "model@hydra=tiny", "~hydra"),
    *("--multirun", "--config-dir=.", "-m", "train=${train.${oc.env:PLANTED}}", "model='${oc.create:{a: 1}}'"),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in a folder of its own; a secret is in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANTED", "s3cret")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    return tmp_path


def refused(*words: str) -> str:
    """The sentence with which it is refused, which keeps the secret; nothing is made."""
    before = sorted(os.listdir())
    with pytest.raises(ConfigError) as caught:
        load(words[0], words[1:])
    assert "s3cret" not in str(caught.value)
    assert sorted(os.listdir()) == before
    return str(caught.value)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_in_a_file(here: Path, hostile: str) -> None:
    """Alone, at the end of a whole configuration, and in one that is extended."""
    (here / "alone.yaml").write_text(HOSTILE[hostile])
    (here / "whole.yaml").write_text(
        HEAD + HOSTILE[hostile].removeprefix("%TAG ! tag:yaml.org,2002:python/object/apply:\n---\n")
    )
    (here / "more.yaml").write_text("defaults: [alone, wga, _self_]\n")
    for file in ("alone", "whole", "more"):
        refused(f"{file}.yaml")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_in_a_group(here: Path, hostile: str) -> None:
    """Beside the file, chosen by the file or by a word; in any package, Hydra's own too."""
    (here / "model").mkdir()
    (here / "model" / "evil.yaml").write_text(GLOBAL + HOSTILE[hostile])
    (here / "model" / "worse.yaml").write_text("# @package hydra.callbacks\n" + HOSTILE[hostile])
    (here / "chosen.yaml").write_text(HEAD.replace("tiny", "worse"))
    (here / "other.yaml").write_text(HEAD)
    refused("chosen.yaml")
    said = refused("other.yaml", "model=evil")
    assert "the tag" not in said or f"evil.yaml, line {4 if hostile == 'directive' else 2}: the tag" in said


@pytest.mark.parametrize("word", WORDS)
def test_in_a_word(capsys: pytest.CaptureFixture[str], word: str) -> None:
    """What Hydra, or a shell, would act upon, here and where a job is submitted."""
    words, cluster = [str(CONFIGS / "wtnpo.yaml"), word], ["storage=/shared", "--address", "http://127.0.0.1:1"]
    for said in (refusal(launch.main, capsys, *words), refusal(submit.main, capsys, *words, *cluster)):
        assert "s3cret" not in said
    assert os.listdir() == []


@pytest.mark.parametrize(
    "entry", ["override hydra/launcher: basic", "hydra/sweeper: basic", "optional hydra/x: y", "/hydra/x: y"]
)
def test_in_the_defaults_of_a_group(here: Path, entry: str) -> None:
    """A group may have defaults of its own, but none of Hydra's."""
    (here / "model").mkdir()
    (here / "model" / "evil.yaml").write_text(f"{GLOBAL}defaults: [{{{entry}}}]\nmodel: {{name: x}}\n")
    (here / "mine.yaml").write_text(HEAD)
    refused("mine.yaml", "model=evil")


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("file", [CONFIG_FILE, SWEEP_LIST_FILE])
def test_in_the_folder_of_a_sweep(capsys: pytest.CaptureFixture[str], here: Path, hostile: str, file: str) -> None:
    """What a storage holds may have been changed since, or come from somebody else."""
    folder = here / "runs" / "old"
    folder.mkdir(parents=True)
    whole = dump_stored_config(load(CONFIGS / "ga.yaml")) if file == CONFIG_FILE else "sweeps: [old]\n"
    (folder / file).write_text(HOSTILE[hostile] if hostile == "directive" else whole + HOSTILE[hostile])
    for said in (refusal(launch.main, capsys, "--resume", "old"), refusal(report, capsys, "old")):
        assert "s3cret" not in said
    assert [path.name for path in here.iterdir()] == ["runs"]


def test_a_text_that_stands_for_itself(here: Path) -> None:
    """Words of a template that only look like a call stay words; a resolver cannot be smuggled in with backslashes."""
    from sweep.config.template import Template

    base = load(CONFIGS / "wtnpo.yaml")
    template = Template(question="{question} _target_: os.mkdir !!python/name:os.mkdir", answer="{answer}")
    config = base.model_copy(update={"model": base.model.model_copy(update={"template": template})})
    (here / "mine.yaml").write_text(dump(config))
    assert load("mine.yaml") == config
    for backslashes in range(6):
        (here / "mine.yaml").write_text(HEAD + f"storage: '{backslashes * chr(92)}${{oc.env:PLANTED}}'\n")
        with pytest.raises(ConfigError) as caught:
            load("mine.yaml")
        assert "s3cret" not in str(caught.value)
