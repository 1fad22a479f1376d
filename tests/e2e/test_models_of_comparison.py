"""The model that each sweep of the finished comparison keeps, which a worker put into the object store."""

import csv
import json
from pathlib import Path

import pytest

from support.commands import Command
from support.comparison import NAMES, Comparison


@pytest.mark.parametrize("name", NAMES)
def test_a_new_process_measures_the_trial_s_own_numbers(comparison: Comparison, tmp_path: Path, name: str) -> None:
    """To the bit, those of the mix that was scored, with the retain model for forget quality."""
    (model,) = comparison.summary(name)["models"]
    assert (model["label"], model["weights"], model["phase"], model["seed"]) == ("best", "compared", "finalist", 1)
    (retain,) = [file.parent for file in comparison.folder.glob("runs/.artifacts/*/retain.json")]
    words = (model["path"], "--retain-model", str(retain), "--out", "scores.json")
    assert Command(tmp_path, *words, module="eval.run", variables={"OMP_NUM_THREADS": "1"}).end() == 0
    found = json.loads((tmp_path / "scores.json").read_text())["metrics"]
    lines = csv.DictReader((comparison.path(name) / "finalists.csv").read_text().splitlines())
    (line,) = [line for line in lines if int(line["index"]) == model["index"]]
    assert {key: float(line[f"compared/{key}"]) for key in found} == found
    assert {"forget_quality", "retain/rouge_l", "forget/es"} <= found.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_where_one_looks_for_it(comparison: Comparison, name: str) -> None:
    """In the sweep's folder with a card, in the report, in the output, and on the sweep's run in MLflow."""
    (model,) = comparison.summary(name)["models"]
    folder = comparison.path(name) / "models" / "best" / "compared"
    assert model["path"] == str(folder) and f"# {name}-best-compared" in (folder / "README.md").read_text()
    assert f"model:  {folder} (" in comparison.output
    assert str(folder) in (comparison.path(name) / "report.html").read_text()
    (found,) = [run for run in comparison.runs if run.data.tags.get("sweep") == name]
    parent = comparison.client.get_run(found.info.run_id)  # a search leaves the outputs out
    assert parent.outputs is not None
    (output,) = parent.outputs.model_outputs
    assert comparison.client.get_logged_model(output.model_id).tags["path"] == str(folder)
