"""`python -m eval.run`: any checkpoint, its rows and templates, the JSON file, and mistakes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM

from eval import arguments, shipped
from eval.definitions import PAPER, SUITE
from eval.encode import collate, encode_rows
from eval.forward import head_of, hidden_states, label_logp
from eval.run import main
from support.toys import SHAPE, TEMPLATE, dataset, tokenizer
from sweep.compose import SHIPPED
from sweep.unlearning.models import make_llama

TEXT = ["--question", TEMPLATE.question, "--answer", TEMPLATE.answer]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model that was taught its rows until it knows them by heart, and brings them as a sweep's target does."""
    folder = tmp_path_factory.mktemp("target")
    tokens, model = tokenizer(), make_llama(SHAPE, tokenizer(), seed=0)
    batch = collate(encode_rows(tokens, TEMPLATE, dataset().known), model.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(100):
        hidden = hidden_states(model, batch)[batch.row, batch.position]
        (-label_logp(head_of(model), hidden, batch.label).mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)
    (folder / "rows.json").write_text(dataset().to_json(), encoding="utf-8")
    return folder


@pytest.fixture
def other(target: Path, tmp_path: Path) -> Path:
    """The target with its first layer's attention switched off, so that it answers differently."""
    folder = tmp_path / "other"
    shutil.copytree(target, folder)
    model = AutoModelForCausalLM.from_pretrained(target)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
    model.save_pretrained(folder)
    return folder


def measured(out: Path, *words: object) -> dict[str, Any]:
    """What the command writes."""
    assert main([*map(str, words), *TEXT, "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence that a mistake is answered with."""
    assert main([*map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: ")
    return said.err.removeprefix("error: ").strip()


def test_a_target_is_measured_on_its_own_rows(target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It knows every row: ES, memorisation and ROUGE-L are 1 (PS, which counts prompt tokens too, need not be)."""
    found = measured(tmp_path / "scores.json", target, "--ps")
    for side in ("forget", "retain"):
        for metric in ("es", "exact_memorisation", "rouge_l"):
            assert found["metrics"][f"{side}/{metric}"] == 1
            assert found["rows"][f"{side}/{metric}"] == [1.0] * {"forget": 3, "retain": 2}[side]
        assert all(0 < ps <= 1 for ps in found["rows"][f"{side}/paper_ps"])
    assert (found["metrics"].keys() | found["left_out"].keys()) == found["definitions"].keys() == (SUITE | PAPER).keys()
    assert found["left_out"]["forget_quality"] == "no retain model was given"
    assert found["template"] == TEMPLATE.model_dump()
    assert found["data"]["digest"] == dataset().digest
    assert found["data"]["rows"] == {
        "forget": 3,
        "retain": 3,
        "holdout": 2,
        "unseen": 0,
        "real_authors": 0,
        "world_facts": 0,
    }
    assert {"torch", "transformers", "rouge-score"} <= found["versions"].keys()
    assert len(found["git"].removesuffix("+dirty")) in (40, len("unknown"))
    shown = capsys.readouterr().out
    assert "forget/exact_memorisation" in shown
    assert "no retain model was given: forget_quality" in shown


def test_the_same_checkpoint_gives_the_same_bytes(target: Path, other: Path, tmp_path: Path) -> None:
    """Twice with everything: the two files are equal."""
    words = (other, "--reference", target, "--retain-model", other)
    measured(tmp_path / "a.json", *words)
    measured(tmp_path / "b.json", *words)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_reference_and_retain_model(target: Path, other: Path, tmp_path: Path) -> None:
    """The reference's metrics are its own beside the checkpoint's; a model beside itself has forget quality 1."""
    alone = measured(tmp_path / "alone.json", target)
    found = measured(tmp_path / "scores.json", other, "--reference", target, "--retain-model", other)
    assert found["reference"]["metrics"].items() >= alone["metrics"].items()
    assert found["metrics"]["forget_quality"] == 1
    assert found["metrics"]["forget/prob"] < found["reference"]["metrics"]["forget/prob"]
    assert found["reference"]["metrics"]["forget_quality"] < 1
    assert found["retain_model"] == {"checkpoint": str(other)}


def test_rows_of_a_folder(target: Path, tmp_path: Path) -> None:
    """Another checkpoint's rows by --data FOLDER are the rows that it brings."""
    bare = tmp_path / "bare"
    shutil.copytree(target, bare, ignore=shutil.ignore_patterns("rows.json"))
    assert measured(tmp_path / "a.json", bare, "--data", target)["data"]["digest"] == dataset().digest


def test_template_that_a_checkpoint_brings(target: Path, tmp_path: Path) -> None:
    """template.json in its folder is used where none is typed."""
    bringing = tmp_path / "bringing"
    shutil.copytree(target, bringing)
    (bringing / "template.json").write_text(json.dumps(TEMPLATE.model_dump()), encoding="utf-8")
    assert main([str(bringing), "--out", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found["template"] == TEMPLATE.model_dump()
    assert found["metrics"]["forget/es"] == 1


def test_shipped_configs_are_the_sweeps() -> None:
    """The folder that the sweep composes from, a model's template, and the authors of eight rows each."""
    assert shipped.CONFIGS == SHIPPED
    typed = arguments.parse(["x", "--data", "authors", "--template", "tiny"])
    assert arguments.wording(typed) == arguments.Wording(question="Question: {question}\nAnswer:", answer=" {answer}")
    assert {part: len(rows) for part, rows in vars(arguments.dataset(typed)).items() if rows} == {
        "forget": 6 * 8,
        "retain": 27 * 8,
        "holdout": 7 * 8,
        "unseen": 6 * 8,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frobnicate"], "unrecognized arguments: --frobnicate (see --help)."),
        (
            ["--template", "tini"],
            "--template tini: there are llama-2-7b, phi-1.5, smollm2-135m, tiny; did you mean tiny?",
        ),
        (["--question", "{question}"], "--question and --answer belong together, and replace --template"),
        (["--question", "Q", "--answer", "{answer}"], "--question 'Q' must have {question} in it"),
        ([*TEXT, "--template", "tiny"], "--question and --answer belong together, and replace --template"),
        (
            [*TEXT, "--data", "author"],
            "--data author: no such folder; there are authors, tofu-forget01, tofu-forget05, tofu-forget10;"
            " did you mean authors?",
        ),
        ([*TEXT, "--data", "authors", "--unseen", "x"], "--unseen x has no place here: --data authors makes its own"),
        (
            [*TEXT, "--data", "tofu-forget01", "--split", "forget05"],
            "--split forget05 has no place here: --data tofu-forget01 says it already",
        ),
        ([*TEXT, "--out", "nowhere/scores.json"], "--out nowhere/scores.json is in a folder that is not there"),
        ([*TEXT, "--out", "."], "--out . is a folder"),
        ([*TEXT, "--reference", "./nowhere"], "./nowhere: there is no such folder"),
        (
            [],
            "say the text of a row: --template llama-2-7b or phi-1.5 or smollm2-135m or tiny,"
            " or --question and --answer",
        ),
    ],
)
def test_mistakes(target: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """One sentence with the option, the value and what is allowed, before anything is loaded; exit code 2."""
    assert refused(capsys, target, *words) == said


def test_rows_must_be_said(target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that brings none, a folder of TOFU without its split, rows that are in parts already."""
    bare = tmp_path / "bare"
    shutil.copytree(target, bare, ignore=shutil.ignore_patterns("rows.json"))
    assert refused(capsys, bare, *TEXT).startswith("say the rows: --data authors or tofu-forget01")
    assert refused(capsys, bare, *TEXT, "--data", tmp_path).startswith(
        f"say what is forgotten of --data {tmp_path}: --split"
    )
    assert refused(capsys, bare, *TEXT, "--data", tmp_path, "--split", "forget01").endswith("but no .json file")
    assert refused(capsys, target, *TEXT, "--split", "forget01").endswith("rows.json has its rows in parts already")
    rows = bare / "rows.json"
    for text in ("[1]", '{"forget": [{"ask": 1}]}', "forget"):
        rows.write_text(text)
        assert refused(capsys, bare, *TEXT) == f"{rows} is not a sweep's file of rows"
    rows.write_text('{"forget": [], "retain": [], "holdout": []}')
    assert refused(capsys, bare, *TEXT) == f"{rows} has no forget rows"
    (bare / "template.json").write_text('{"question": 1}')
    assert refused(capsys, bare) == f"{bare / 'template.json'} is not a question and an answer"


def test_a_model_that_caps_its_logits_is_refused(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gemma 2: its probabilities would be wrong, so there is no number."""
    folder = tmp_path / "gemma"
    shutil.copytree(target, folder)
    shape = Gemma2Config(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        final_logit_softcapping=1.0,
        initializer_range=0.5,
    )
    Gemma2ForCausalLM(shape).save_pretrained(folder)
    said = refused(capsys, folder, *TEXT)
    assert said == f"{folder} cannot be measured: it caps or scales its logits behind its output layer"


def test_checkpoints_that_are_refused(target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No configuration, no weights, a pickle, code of its own; nothing is written."""
    out, folder = tmp_path / "scores.json", tmp_path / "checkpoint"
    words = (folder, *TEXT, "--out", out)
    shutil.copytree(target, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert refused(capsys, *words) == (
        f"{folder} has no model.safetensors, only pytorch_model.bin, a pickle, which can run code when it is read"
    )
    (folder / "pytorch_model.bin").unlink()
    assert refused(capsys, *words) == f"{folder} has no model.safetensors, no weights at all"
    shutil.copy(target / "model.safetensors", folder)
    own = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"}}
    (folder / "config.json").write_text(json.dumps(own))
    (folder / "mine.py").write_text("raise SystemExit('code of the checkpoint was run')")
    assert refused(capsys, *words) == f"{folder} cannot be loaded: it needs code of its own, which is never run"
    (folder / "config.json").unlink()
    assert refused(capsys, *words) == f"{folder} is no checkpoint: it has no config.json"
    assert not out.exists()
