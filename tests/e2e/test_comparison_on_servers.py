"""Two sweeps at once against what a cluster has: MLflow, PostgreSQL for it and for the ledgers, an object store."""

import re
from pathlib import Path

import optuna
import pytest

from support.comparison import NAME, NAMES, PASSING_LINE, Comparison, trial_lines
from sweep.records import PHASES

TRIALS = 7
"""Three of the search, a race of two settings over one seed, winner and paper's setting on one report seed."""

FRONTS = tuple(f"{name} {phase} " for name in NAMES for phase in PHASES)
"""How the line of a trial begins."""


@pytest.mark.parametrize("name", NAMES)
def test_each_sweep_has_its_runs(comparison: Comparison, postgres: str, name: str) -> None:
    """One parent with its configuration; below it one run for each trial of the ledger, with its score."""
    (parent,) = [run for run in comparison.runs if run.data.tags.get("sweep") == name]
    nested = [run for run in comparison.runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.status for run in [parent, *nested]} == {"FINISHED"}
    artifacts = {file.path for file in comparison.client.list_artifacts(parent.info.run_id)}
    assert {"config.yaml", "report.html", "plots", NAME} <= artifacts
    scores = {(run.data.tags["phase"], int(run.data.tags["index"])): run.data.metrics["score"] for run in nested}
    assert scores == ledger(postgres, name)
    assert len(scores) == len(nested) == TRIALS


def ledger(server: str, name: str) -> dict[tuple[str, int], float]:
    """The scores in the study, by phase and index, as Optuna itself reads them."""
    found: dict[tuple[str, int], float] = {}
    for phase, study in zip(PHASES, (name, f"{name}/race", f"{name}/finalists"), strict=True):
        for trial in optuna.load_study(study_name=study, storage=f"{server}/ledgers").trials:
            assert trial.value is not None
            found[phase, trial.user_attrs["start"]["index"]] = trial.value
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_run_has_the_report(comparison: Comparison, tmp_path: Path, name: str) -> None:
    """Of the sweep and of the comparison, as they are in the storage, and the plots of the sweep."""
    client = comparison.client
    (parent,) = [run.info.run_id for run in comparison.runs if run.data.tags.get("sweep") == name]
    for artifact, folder in (("report.html", name), (f"{NAME}/report.html", NAME)):
        kept = Path(client.download_artifacts(parent, artifact, str(tmp_path)))
        assert kept.read_bytes() == (comparison.path(folder) / "report.html").read_bytes()
    assert [file.path for file in client.list_artifacts(parent, "plots") if file.path.endswith(".png")]


@pytest.mark.parametrize("name", NAMES)
def test_each_sweep_has_its_files(comparison: Comparison, name: str) -> None:
    """All but the study; they say that every trial finished, and its setting shows in its metrics."""
    files = {"config.yaml", "trials.csv", "times.csv", "summary.json", "best.yaml", "report.html"}
    assert files <= {path.name for path in comparison.path(name).iterdir()}
    assert comparison.summary(name)["trials"] == {"planned": 3, "finished": 3, "failed": 0, "pruned": 0}
    lines = trial_lines((comparison.path(name) / "trials.csv").read_text())
    tuned = comparison.summary(name)["recovery"]["tuned"]
    assert len({tuple(value for key, value in line.items() if key not in tuned) for line in lines}) == 3


def test_the_comparison_has_its_files(comparison: Comparison) -> None:
    """The list of its sweeps, both tables and the report of both."""
    files = {"sweeps.yaml", "comparison.csv", "comparison.json", "report.html"}
    assert files <= {path.name for path in comparison.path(NAME).iterdir()}


def test_nothing_lies_beside_the_servers(comparison: Comparison) -> None:
    """No study and no MLflow database in the working directory."""
    assert {Path(path).name for path in comparison.modes} & {"study.db", "mlflow.db", "mlruns"} == set()


def test_the_output_is_short(comparison: Comparison) -> None:
    """At most 12 lines beside trials, the time that is left, links and result, which ends with the links."""
    whole = [line for line in comparison.output.splitlines() if not re.match(PASSING_LINE, line)]
    links = [line for line in whole if line.startswith("http://127.0.0.1:")]
    assert whole[-len(NAMES) - 1 :] == ["runs:", *links[: len(NAMES)]]
    assert all(name in link for name, link in zip(NAMES, whole[-len(NAMES) :], strict=True))
    assert {*links} == {*whole[-len(NAMES) :]}
    lines = [line for line in whole if line not in ("runs:", *links)]
    trials = [line for line in lines if line.startswith(FRONTS)]
    assert len(trials) == len(NAMES) * TRIALS
    result = lines[lines.index(trials[-1]) + 1 :]
    assert len(lines) - len(trials) - len(result) <= 12
    assert len([line for line in result if "stand-in" in line]) >= len(NAMES)


def test_the_models_are_in_the_object_store(comparison: Comparison) -> None:
    """All three were made, once for both sweeps."""
    made = [line for line in comparison.output.splitlines() if line.startswith("prepared ")]
    assert sorted(made) == ["prepared reference", "prepared retain model", "prepared target"]
