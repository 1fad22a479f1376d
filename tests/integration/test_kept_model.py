"""The model of a real toy trial: saved, measured by `python -m eval.run`, and made again."""

import json
from pathlib import Path

import pytest
import torch

from eval.run import main
from support.plans import ToyPlan, toy_plan
from support.targets import FULL, Prepared
from support.trials import sweep_of, trial
from sweep.errors import ConfigError
from sweep.export import __main__ as export
from sweep.export.delivery import Delivery
from sweep.records import TrialRecord
from sweep.results import saved_models
from sweep.results.saved_models import COMPARED_PREFIX, SavedModel, read_models, request_model
from sweep.trial.runner import export_model, run_trial, unlearn

FIRST = trial(0, {"alpha": 1.0, "beta": 1.0}, 0.0, phase="finalist", seed=1, state="running")
"""The first report trial."""


def finished(prepared: Prepared, folder: Path) -> tuple[ToyPlan, TrialRecord]:
    """The first report trial of a sweep that measures everything, which saved both kinds of weights."""
    sweep, artifacts = prepared(eval=FULL, retain={"term": "none", "weight": 0.0, "reduction": "tokens"})
    request = request_model("mine", folder / "mine", "best", ("unlearned", "compared"))
    *_, record = run_trial(lambda record: unlearn(sweep, artifacts, record, lambda _: request), FIRST)
    assert record.state == "finished" and 0 < record.metrics["mix"] < 1
    plan = toy_plan(sweep.model_copy(update={"storage": folder}), "mine")
    return ToyPlan(**vars(plan) | {"artifacts": artifacts}), record


def measured(model: SavedModel, retain: Path, out: Path) -> dict[str, float]:
    """Metrics of a saved model by the command."""
    assert main([str(model.folder), "--retain-model", str(retain), "--out", str(out)]) == 0
    found: dict[str, float] = json.loads(out.read_text())["metrics"]
    return found


def test_a_saved_model_gives_the_numbers_of_its_trial(prepared: Prepared, tmp_path: Path) -> None:
    """To the bit, at m = 1 and at m*; the score is the forget ES at m*, and both differ."""
    plan, record = finished(prepared, tmp_path)
    compared, unlearned = read_models(plan.folder)
    assert plan.artifacts.retain_model is not None
    found = measured(compared, plan.artifacts.retain_model, tmp_path / "a.json")
    own = {key: value for key, value in record.metrics.items() if key.startswith(COMPARED_PREFIX)}
    assert {f"{COMPARED_PREFIX}{key}": value for key, value in found.items()} == own
    assert record.metrics["score"] == (found["forget/es"] + found["forget/es_paraphrase"]) / 2
    plain = measured(unlearned, plan.artifacts.retain_model, tmp_path / "b.json")
    assert plain == {key: record.metrics[key] for key in plain} != found
    assert "forget_quality" in plain


def test_other_trials_are_measured_once(prepared: Prepared) -> None:
    """Only the first report seed has the metrics of the mix."""
    sweep, artifacts = prepared(eval=FULL)
    for own in (trial(0, FIRST.setting, 0.0, state="running"), trial(1, FIRST.setting, 0.0, phase="finalist", seed=2)):
        *_, record = run_trial(lambda record: unlearn(sweep, artifacts, record), own)
        assert "forget/rouge_l" in record.metrics
        assert [key for key in record.metrics if key.startswith(COMPARED_PREFIX)] == []


def test_a_trial_does_not_fail_for_its_model(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without room on the disk its numbers are the same, and the worker says why; an export ends with the reason."""
    _, record = finished(prepared, tmp_path)
    monkeypatch.setattr(saved_models, "count_free_bytes", lambda _: 0)
    plan, again = finished(prepared, tmp_path / "full")
    assert again.metrics == record.metrics and read_models(plan.folder) == []
    assert "the model of finalist 0 is not saved: the disk of " in capsys.readouterr().err
    request = request_model("mine", plan.folder, "best", ("compared",))
    with pytest.raises(ConfigError, match=r"^the model best of mine is not saved: the disk of .* has 0 kB free"):
        list(export_model(plan.config, plan.artifacts, record, request))


def test_a_model_made_again_is_the_same(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command, whose trial runs in this process: the same bits, the recorded numbers, and a card."""
    plan, record = finished(prepared, tmp_path)

    def run_here(wanted: Delivery) -> None:
        *_, last = wanted.preparer()
        assert last.done == last.total == plan.config.train.epochs + 1

    monkeypatch.setattr(export, "_run_again", run_here)
    monkeypatch.setattr("sweep.config.stored.list_sweep_names", lambda *_: ["mine"])
    monkeypatch.setattr("sweep.plan.sweep_plan.plan_stored_sweep", lambda *_: plan)
    monkeypatch.setattr("sweep.search.study.read_records", lambda *_: list(sweep_of(plan.config, [record]).records))
    words = ["mine", "finalist-0", f"storage={tmp_path}"]
    assert export.main([*words, "--output", str(tmp_path / "out")]) == 0
    assert (
        capsys.readouterr().out
        == f"{tmp_path / 'out'}: its trial's numbers are those that the sweep recorded, bit for bit\n"
    )
    (first,) = [one for one in read_models(plan.folder) if one.kind == "compared"]
    name = "model.safetensors"
    assert (tmp_path / "out" / name).read_bytes() == (first.folder / name).read_bytes()
    assert "# mine-finalist-0-compared" in (tmp_path / "out" / "README.md").read_text()
    assert export.main([*words, "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: it is there already\n"
    assert export.main([*words, "--output", str(plan.folder)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert torch.get_num_threads() == 1
