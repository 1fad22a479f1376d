"""`python -m eval.run` on a target that knows its rows: what it measures, and the file that it writes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from eval.definitions import PAPER, SUITE
from eval.run import main
from support.targets import Prepared
from support.toys import TEMPLATE, dataset

TEXT = ["--question", TEMPLATE.question, "--answer", TEMPLATE.answer]


@pytest.fixture
def target(prepared: Prepared, tmp_path: Path) -> Path:
    """A copy of a sweep's target, which brings its rows, without its template."""
    _, artifacts = prepared()
    return shutil.copytree(
        artifacts.target, tmp_path / "target", ignore=shutil.ignore_patterns("template.json", "manifest.json")
    )


@pytest.fixture
def other(target: Path, tmp_path: Path) -> Path:
    """The target with its first layer's MLP switched off, so that it answers differently."""
    folder = tmp_path / "other"
    shutil.copytree(target, folder)
    model = AutoModelForCausalLM.from_pretrained(target)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.zero_()
    model.save_pretrained(folder)
    return folder


def measured(out: Path, *words: object) -> dict[str, Any]:
    """What the command writes."""
    assert main([*map(str, words), *TEXT, "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


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


def test_fewer_rows_and_bfloat16_are_part_of_a_definition(
    target: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows 0 and 1 of 3 forget rows, and a number that cannot be taken for the whole's, in file and terminal."""
    few = measured(tmp_path / "few.json", target, "--rows", 2)
    whole = measured(tmp_path / "whole.json", target)
    limit = "on 2 of 3 forget rows, evenly chosen (--rows)"
    assert few["limits"] == [limit] and whole["limits"] == []
    assert few["definitions"]["forget/es"] == f"{whole['definitions']['forget/es']}; {limit}"
    assert few["rows"]["forget/prob"] == pytest.approx(whole["rows"]["forget/prob"][:2])
    assert few["data"]["rows"]["forget"] == 2 and few["data"]["digest"] != dataset().digest
    assert limit in capsys.readouterr().out
    rounded = measured(tmp_path / "rounded.json", target, "--dtype", "bfloat16")
    assert (rounded["dtype"], rounded["limits"]) == ("bfloat16", ["weights in bfloat16 (--dtype)"])
    assert rounded["rows"]["forget/prob"] != whole["rows"]["forget/prob"]
    assert rounded["rows"]["forget/prob"] == pytest.approx(whole["rows"]["forget/prob"], rel=0.05)


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
