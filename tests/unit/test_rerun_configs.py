"""A setting run again alone: the configuration by itself, a toy trial, and the whole command (slow)."""

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support import toys
from support.trials import PAPER, trial
from sweep.again import alone
from sweep.compose import load
from sweep.config import SweepConfig
from sweep.record import Record, Setting
from sweep.trial import makers, unlearn
from sweep.unlearning.artifacts import plan

ROOT = Path(__file__).parents[2]
FOUND: Setting = {"alpha": 0.1 + 0.2, "beta": 2}
RECORDS = (trial(0, PAPER, 0.5), trial(1, FOUND, 0.25), trial(2, {"alpha": 2.0, "beta": 2.0}, 0.75))
ALONE = {"sampler": "random", "trials": 1, "hours": None, "warm_start": (), "stop": "none"}


def heads(config: SweepConfig, records: tuple[Record, ...]) -> dict[str, str]:
    """The comments of the files."""
    return {file: text.splitlines()[0] for file, text in alone("mine", config, records).items()}


def test_each_file_says_what_it_runs(tmp_path: Path) -> None:
    """The best, the best of the search's own and the paper's, with the trial that it repeats."""
    config = toys.config(tmp_path)
    assert heads(config, RECORDS) == {
        "best.yaml": "# The best setting of mine: trial 1, score 0.25 (lower is better).",
        "found.yaml": (
            "# The best setting that the search came to by itself in mine: trial 1, score 0.25 (lower is better)."
        ),
        "paper.yaml": "# The paper's setting in mine: trial 0, score 0.5 (lower is better).",
    }
    first = heads(config, (trial(0, PAPER, 0.125), *RECORDS[1:]))
    assert "trial 0" in first["best.yaml"]
    assert "trial 1" in first["found.yaml"]
    assert heads(config, ()) == {"paper.yaml": "# The paper's setting in mine: no trial of the search."}


@pytest.mark.parametrize(("file", "setting"), [("best.yaml", FOUND), ("found.yaml", FOUND), ("paper.yaml", PAPER)])
def test_each_file_is_a_whole_configuration(tmp_path: Path, file: str, setting: Setting) -> None:
    """Read back, it differs from the sweep only in these blocks; what makes the numbers is the sweep's."""
    config = toys.config(
        tmp_path,
        search={"epochs": "best", "hours": 1.5, "stop": "asha", "warm_start": ("first",)},
        seed=5,
        seeds=2,
        ledger="postgresql://me@host/db",
    )
    path = tmp_path / file
    path.write_text(alone("mine", config, RECORDS)[file])
    search = config.search.model_copy(update=ALONE)
    changed = {"space": {}, "fixed": setting, "search": search, "seeds": 0, "ledger": None}
    assert load(path) == config.model_copy(update=changed)


def test_the_trial_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    """A toy trial that is not the sweep's first, then the file's only one: equal curves, metrics, and artifacts."""
    config = toys.config(tmp_path, seed=3)
    (maker,) = makers(config, toys.dataset(), plan(config, toys.dataset()))
    assert list(maker())
    (tmp_path / "found.yaml").write_text(alone("mine", config, RECORDS)["found.yaml"])
    again = load(tmp_path / "found.yaml")
    artifacts = plan(again, toys.dataset())
    assert artifacts.missing == []
    first = [*unlearn(config, artifacts, trial(1, FOUND, 0.25, seed=config.seed))]
    assert [*unlearn(again, artifacts, trial(0, again.fixed, 0.0, seed=again.seed))] == first


def test_the_commands_of_a_sweep_repeat_its_lines(tmp_path: Path) -> None:
    """A sweep of three trials, then both commands of its summary: their lines of trials.csv but for the index."""
    small = ("data.forget=2", "data.retain=4", "data.holdout=2", "data.unseen=0", "search.trials=3", "seeds=0")
    launch(tmp_path, "-m", "sweep.launch", str(ROOT / "configs" / "wtnpo.yaml"), *small, "--name", "first")
    summary = json.loads((tmp_path / "runs" / "first" / "summary.json").read_text())
    for side, setting in (("found", summary["recovery"]["found"]), ("paper", summary["recovery"]["tuned"])):
        _, *command = shlex.split(summary["again"][side])
        launch(tmp_path, *command, "--name", side)
        (line,) = lines(tmp_path, side)
        assert {key: float(line[key]) for key in setting} == setting
        assert line in lines(tmp_path, "first")
        assert 0 < float(line["score"]) < 1


def launch(folder: Path, *argv: str) -> None:
    """Run Python in the folder."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(  # noqa: S603 (our own)
        [sys.executable, *argv], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def lines(folder: Path, name: str) -> list[dict[str, str]]:
    """The lines of a sweep's trials.csv, without the index."""
    with (folder / "runs" / name / "trials.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != "index"} for row in csv.DictReader(file)]
