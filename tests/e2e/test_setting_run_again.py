"""A setting of a finished sweep run again, alone, by what its summary names: the same line of trials.csv."""

import json
import re

import pytest
from mlflow import MlflowClient

from support.comparison import NAMES, PASSING_LINE, Comparison, Launched, of_setting, trial_lines
from support.stores import statuses
from support.trials import trial
from sweep.plan.launch_plan import plan_new
from sweep.results.csv_tables import format_trials_csv
from sweep.trial.runner import run_trial


def test_the_command_repeats_its_line(comparison: Comparison, run_again: Launched) -> None:
    """The found setting's, where the score is neither the best nor the worst that there is."""
    found = comparison.summary(NAMES[0])["recovery"]["found"]
    (line,) = trial_lines((run_again.folder / "elsewhere" / "found" / "trials.csv").read_text())
    assert line == of_setting(trial_lines((comparison.path(NAMES[0]) / "trials.csv").read_text()), found)
    assert 0 < float(line["score"]) < 1


@pytest.mark.usefixtures("object_store")
@pytest.mark.parametrize("name", NAMES)
def test_the_paper_s_file_repeats_its_line(comparison: Comparison, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trial in this process, of the models that the comparison made."""
    monkeypatch.chdir(comparison.folder)
    summary = comparison.summary(name)
    program, option, module, file = summary["again"]["paper"].split()
    assert (program, option, module) == ("python", "-m", "sweep.launch")
    (plan,) = plan_new([file], "paper").plans
    assert plan.preparers == []
    tuned = summary["recovery"]["tuned"]
    *_, record = run_trial(plan.trial_fn, trial(0, plan.config.fixed, 0.0, seed=plan.config.seed, state="running"))
    (line,) = trial_lines(format_trials_csv([record]))
    assert line == of_setting(trial_lines((comparison.path(name) / "trials.csv").read_text()), tuned)
    assert 0 < float(line["score"]) < 1


def test_on_another_disk_nothing_is_prepared(comparison: Comparison, run_again: Launched) -> None:
    """The models of the first command came from the object store."""
    assert "prepared target" in comparison.output
    assert "prepared" not in run_again.output
    fetched = {path.parent.name for path in run_again.folder.glob("elsewhere/.artifacts/*/manifest.json")}
    assert len(fetched) == 3
    assert fetched == {path.parent.name for path in comparison.folder.glob("runs/.artifacts/*/manifest.json")}


def test_it_has_the_files_of_a_sweep(run_again: Launched) -> None:
    """Its study too, and they say that its only trial finished."""
    folder = run_again.folder / "elsewhere" / "found"
    files = {"config.yaml", "study.db", "trials.csv", "times.csv", "summary.json", "best.yaml", "report.html"}
    assert files <= {path.name for path in folder.iterdir()}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["trials"] == {"planned": 1, "finished": 1, "failed": 0, "pruned": 0}


def test_its_runs_are_in_the_working_directory(run_again: Launched) -> None:
    """Where no server is named: the parent with its report and plots, and one for the trial."""
    assert statuses(run_again.folder) == ["FINISHED"] * 2
    (report,) = run_again.folder.glob("mlruns/*/*/artifacts/report.html")
    assert report.read_bytes() == (run_again.folder / "elsewhere" / "found" / "report.html").read_bytes()
    assert sorted(path.name for path in report.parent.glob("plots/*.png"))
    experiments = MlflowClient(tracking_uri=f"sqlite:///{run_again.folder / 'mlflow.db'}").search_experiments()
    assert {one.name for one in experiments} == {"Default", "tiny-authors"}


def test_its_output_is_short(run_again: Launched) -> None:
    """At most 12 lines beside the trial, the time that is left and the result, which ends with the runs' link."""
    lines = [line for line in run_again.output.splitlines() if not re.match(PASSING_LINE, line)]
    (trial,) = [line for line in lines if line.startswith(("search ", "finalist "))]
    result = lines[lines.index(trial) + 1 :]
    assert len(lines) - len(result) - 1 <= 12
    assert any("stand-in" in line for line in result)
    assert "mlflow ui --backend-store-uri sqlite:///" in result[-2]
    assert result[-1].startswith("http://127.0.0.1:5000/#/experiments/")
