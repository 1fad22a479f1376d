"""Odd rows through all that a sweep does with them, in this process: preparation, a trial, its files and runs."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import tofu
from support.commands import ROOT
from support.tofu import ODD
from sweep import outputs
from sweep.plan.launch_plan import plan_new
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import TrialRecord
from sweep.run import SweepResult
from sweep.search.queue import pending_trials
from sweep.tracking.address import get_tracking_uri
from sweep.tracking.backfill import backfill_sweep
from sweep.tracking.store import format_ui_command
from sweep.trial.runner import run_trial

WORDS = [str(ROOT / "configs" / "wtnpo.yaml"), "data=tofu-forget01", "target.epochs=1", "train.epochs=1"]
WORDS += ["search.trials=1", "seeds=0", "eval.suite=full", "model.deepest=1"]
WORDS += ["model.shape={layers: 2, hidden: 32, intermediate: 64, heads: 2, vocabulary: 300}"]
UMASK = 0o027
"""The group may read; nobody else may do anything."""


def odd_rows(folder: Path) -> Path:
    """A folder in which rows of each part hold odd text, one of them long."""
    splits = tofu.toy()
    letters = iter("HIJKLMNOPQRSTUVWXYZ")
    for part, odd in zip(["forget01", "retain99"] * 5, ODD, strict=True):
        splits[part].append({"question": f"{next(letters)}{odd}?", "answer": odd})
    splits["retain99"].append({"question": "long", "answer": " ".join(["word"] * 300)})
    for row in splits["forget01"][2:]:
        splits["forget01_perturbed"].append(tofu.varied("A") | row | {"perturbed_answer": [row["answer"]]})
    splits["unseen"] = [tofu.plain("Z"), {"question": "\u200b", "answer": "\u200b"}]
    splits["full"] = splits["forget01"] + splits["retain99"]
    return tofu.write(folder, splits)


def run(plan: SweepPlan) -> list[TrialRecord]:
    """Prepare a sweep and run its trials, as its driver and its workers do."""
    for maker in plan.preparers:
        list(maker())
    with plan.open_study() as ledger:
        for task in pending_trials(plan.config, plan.paper, ledger):
            assert task is not None, "one worker never waits"
            *_, ended = run_trial(plan.trial_fn, ledger.open_attempt(task))
            ledger.close_attempt(ended)
        return ledger.list_records()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with the umask of a user who lets the group read."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = os.umask(UMASK)
    yield tmp_path / "work"
    os.umask(before)


def test_they_leave_what_the_umask_allows(tmp_path: Path, work: Path) -> None:
    """A finished trial with a finite score; no file or folder is open to those whom the umask shuts out."""
    rows = odd_rows(tmp_path / "rows")
    wanted = plan_new([*WORDS, f"data.path={rows}", "data.unseen=unseen"], "made")
    (plan,) = wanted.plans
    (record,) = records = run(plan)
    assert record.state == "finished", record.reason
    assert all(math.isfinite(value) for value in record.metrics.values())
    _, logged = backfill_sweep(plan.config, plan.name, "FINISHED", records)
    ran = SweepResult(
        name=plan.name,
        config=plan.config,
        records=records,
        tracking_run=logged,
        ui_lines=[format_ui_command(get_tracking_uri())],
        prepare_s=1.0,
        trials_s=1.0,
    )
    outputs.write_outputs(wanted, [ran], 2.0)
    assert json.loads((work / "runs" / "made" / "summary.json").read_text())["trials"]["finished"] == 1
    made = {str(path.relative_to(work)): path.stat().st_mode & 0o777 for path in work.rglob("*")}
    assert {"mlflow.db", "mlruns", "runs/made/report.html", "runs/made/study.db", "runs/made/plots"} <= made.keys()
    assert any(path.startswith("runs/.artifacts/") and path.endswith("model.safetensors") for path in made)
    assert {path: oct(mode) for path, mode in made.items() if mode & UMASK} == {}
    assert {path.suffix for path in rows.iterdir()} == {".json"}
