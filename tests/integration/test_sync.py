"""`python -m sweep.sync`: scores of a checkpoint in a real MLflow store, once however often they are sent."""

import json
from pathlib import Path

import pytest

from support.tracked import client
from sweep.sync import main

SCORES = {
    "format": 1,
    "checkpoint": "models/phi-unlearned",
    "metrics": {"forget/es": 0.25, "model_utility": 0.5},
    "rows": {"forget/es": [0.0, 0.5]},
    "left_out": {"forget_quality": "no retain model"},
    "definitions": {"forget/es": "extraction strength"},
    "template": {"question": "{question}", "answer": "{answer}"},
    "data": {"name": "tofu-forget01"},
    "versions": {"torch": "2.13.0"},
    "git": "unknown",
}


def test_scores_become_one_run(mlflow_here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics, why others are left out, and the file itself; a second call finds the run."""
    store = client(mlflow_here)
    Path("scores.json").write_text(json.dumps(SCORES))
    assert main(["scores.json"]) == main(["scores.json"]) == 0
    experiment = store.get_experiment_by_name("checkpoints")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    assert run.data.metrics == SCORES["metrics"]
    assert run.info.run_name == "phi-unlearned"
    assert json.loads(run.data.tags["left_out"]) == SCORES["left_out"]
    assert [file.path for file in store.list_artifacts(run.info.run_id)] == ["scores.json"]
    assert run.info.run_id in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory."),
        ("{", "cannot be read: it is not JSON."),
        ("[]", "is no file of python -m eval.run --out: it lacks format = 1."),
        ('{"format": 2}', "is no file of python -m eval.run --out: it lacks format = 1."),
    ],
)
def test_other_files_are_refused(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 2, and no store is made."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("scores.json").write_text(text)
    assert main(["scores.json"]) == 2
    assert capsys.readouterr().err == f"error: scores.json {said}\n"
    assert not Path("mlflow.db").exists()


def test_an_unknown_sweep_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that the storage does not have."""
    monkeypatch.chdir(tmp_path)
    assert main(["nosuch"]) == 2
    assert "has no sweep of this name" in capsys.readouterr().err
