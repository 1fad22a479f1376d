"""The files of a sweep and of several, from hand-made records."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from support import toys, trials
from support.trials import PAPER, sweep_of
from sweep.atomic_io import atomic_write
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrackingRun, TrialRecord
from sweep.results import write_results
from sweep.results.sweep_records import SweepRecords
from sweep.results.write_results import SweepSeconds

BEST: Setting = {"alpha": 0.1 + 0.2, "beta": 2}
AGAIN = ("best.yaml", "found.yaml", "paper.yaml")
TARGET = {"metrics": {"forget/es": 1.0}, "base": dict[str, float]()}
SECONDS = SweepSeconds(prepare=1.5, sweep=10.25, total=12.0)
LOGGED = TrackingRun(tracking_uri="sqlite:////data/mlflow.db", experiment="toy-authors", run_id="abc")


def trial(index: int, setting: Setting, score: float, **fields: Any) -> TrialRecord:
    """A finished search trial that ran for 2.5 seconds."""
    default: dict[str, Any] = {
        "metrics": {"score": score, "mix": 0.5, "forget/es": 0.25},
        "started": 1_700_000_000.0,
        "ended": 1_700_000_002.5,
        "worker": "host:1",
    }
    return trials.trial(index, setting, score, **default | fields)


RECORDS = (
    trial(0, PAPER, 0.5),
    trial(1, BEST, 0.25, metrics={"score": 0.25, "mix": 1.0, "loss": math.nan}),
    trial(2, {"alpha": 0.0, "beta": 1.0}, 0.0, state="failed", metrics={}, reason="it broke,\nbadly"),
    trial(3, {"alpha": 5.0, "beta": 1.0}, 0.0, state="running", metrics={}),
    trial(0, PAPER, 0.5, phase="finalist", seed=1, worker="host:2"),
    trial(1, PAPER, 0.75, phase="finalist", seed=2),
    trial(2, BEST, 0.25, phase="finalist", seed=1),
    trial(3, BEST, 0.25, phase="finalist", seed=2),
)


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """The toy sweep of WTNPO, whose stand-in is the paper's setting for forget10."""
    return toys.config(tmp_path, seed=5, seeds=2, ledger="postgresql://me@host/db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sweep's folder, empty."""
    path = tmp_path / "mine"
    path.mkdir()
    return path


def written(folder: Path, config: SweepConfig, records: Any = RECORDS) -> dict[str, str]:
    """The files that a sweep leaves."""
    write_results.write_sweep_files(
        folder, sweep_of(config, list(records)), seconds=SECONDS, logged=LOGGED, target=TARGET
    )
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def test_files(folder: Path, config: SweepConfig) -> None:
    """These, and nothing half written beside them."""
    assert written(folder, config).keys() == {
        *("trials.csv", "race.csv", "finalists.csv", "times.csv", "summary.json"),
        *AGAIN,
    }


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """What was there stays, and nothing lies beside it."""
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        atomic_write(tmp_path / "x", "text")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["x", "y"]


def test_trials_csv(folder: Path, config: SweepConfig) -> None:
    """Every parameter and metric of any trial, floats as Python writes them, no times; no trial that still runs."""
    assert written(folder, config)["trials.csv"] == (
        "index,alpha,beta,seed,state,forget/es,loss,mix,score,reason\n"
        "0,1.5,7.0,0,finished,0.25,,0.5,0.5,\n"
        "1,0.30000000000000004,2,0,finished,,nan,1.0,0.25,\n"
        '2,0.0,1.0,0,failed,,,,,"it broke,\nbadly"\n'
    )


def test_finalists_csv(folder: Path, config: SweepConfig) -> None:
    """The same columns after what the setting is."""
    assert written(folder, config)["finalists.csv"] == (
        "finalist,index,alpha,beta,seed,state,forget/es,mix,score,reason\n"
        "rank 2 = paper,0,1.5,7.0,1,finished,0.25,0.5,0.5,\n"
        "rank 2 = paper,1,1.5,7.0,2,finished,0.25,0.5,0.75,\n"
        "best,2,0.30000000000000004,2,1,finished,0.25,0.5,0.25,\n"
        "best,3,0.30000000000000004,2,2,finished,0.25,0.5,0.25,\n"
    )


def test_race_files(folder: Path, tmp_path: Path) -> None:
    """The setting that ranks third wins by .2 over two seeds, and is the best in every file; the search's best left."""
    third: Setting = {"alpha": 1.0, "beta": 1.0}
    config = toys.config(tmp_path, search={"race": 4})
    own = [*RECORDS[:3], trial(3, third, 0.375)]
    raced = trials.races(config, BEST, 0.75, 0.5) + trials.races(config, third, 0.5, 0.25, first=2)
    files = written(folder, config, [*own, *raced])
    assert files["race.csv"] == (
        "race,index,alpha,beta,seed,state,score,reason\n"
        f"rank 1,0,0.30000000000000004,2,{2**20},finished,0.75,\n"
        f"rank 1,1,0.30000000000000004,2,{2**20 + 1},finished,0.5,\n"
        f"best,2,1.0,1.0,{2**20},finished,0.5,\n"
        f"best,3,1.0,1.0,{2**20 + 1},finished,0.25,\n"
    )
    summary = json.loads(files["summary.json"])
    assert summary["best"]["params"] == summary["recovery"]["found"] == third
    assert (summary["race"]["rounds"], len(summary["race"]["racers"])) == (2, 2)
    (won, left) = summary["race"]["racers"]
    assert (won["params"], won["mean"], won["result"]) == (third, 0.375, "won")
    assert (left["params"], left["mean"], left["result"]) == (BEST, 0.625, "behind after round 2")
    for file in ("best.yaml", "found.yaml"):
        assert load(folder / file).fixed == third


def test_times_csv(folder: Path, config: SweepConfig) -> None:
    """1 700 000 000 seconds after 1970 it was 22:13:20 UTC on 14 November 2023."""
    rows = list(csv.DictReader(written(folder, config)["times.csv"].splitlines()))
    assert [(row["phase"], row["index"]) for row in rows] == [("search", str(i)) for i in range(3)] + [
        ("finalist", str(i)) for i in range(4)
    ]
    assert list(rows[3].values()) == [
        "finalist",
        "0",
        "2.5",
        "2023-11-14T22:13:20.000+00:00",
        "2023-11-14T22:13:22.500+00:00",
        "host:2",
    ]


def test_the_same_records_give_the_same_bytes(folder: Path, config: SweepConfig) -> None:
    """In whatever order they come, and however often they are written."""
    first = written(folder, config)
    assert written(folder, config, RECORDS[::-1]) == first


def test_summary(folder: Path, config: SweepConfig) -> None:
    """The best by score, the paper's beside it, counts of search trials, and NaN as null."""
    summary = json.loads(written(folder, config)["summary.json"])
    finalists, verdict, again = summary.pop("finalists"), summary.pop("recovery"), summary.pop("again")
    assert summary == {
        "name": "mine",
        "objective": "wtnpo",
        "model": "toy",
        "data": "authors",
        "recipe": "default",
        "target": {"metrics": {"forget/es": 1.0}, "base": {}},
        "score": {"name": "score", "tau": 0.95, "direction": "minimize"},
        "best": {"params": BEST, "metrics": {"score": 0.25, "mix": 1.0, "loss": None}, "trial": 1},
        "paper": {
            "params": PAPER,
            "metrics": {"score": 0.5, "mix": 0.5, "forget/es": 0.25},
            "trial": 0,
            "stand_in": True,
        },
        "race": None,
        "trials": {"planned": 3, "finished": 2, "failed": 1, "pruned": 0},
        "models": [],
        "seconds": {"prepare": 1.5, "sweep": 10.25, "total": 12.0},
        "mlflow": {"tracking_uri": "sqlite:////data/mlflow.db", "experiment": "toy-authors", "run_id": "abc"},
    }
    # Gaps .25 and .5: mean .375, error .125; t(.975, 1) = 12.7062, so that .375 +- 1.58828 holds 0.
    paper, best = finalists
    assert (best["label"], best["params"], best["mean"], best["std"]) == ("best", BEST, 0.25, 0.0)
    assert (best["difference"], best["verdict"]) == (None, None)
    assert paper["scores"] == {"1": 0.5, "2": 0.75}
    assert paper["difference"] == {
        "mean": 0.375,
        "error": pytest.approx(0.125),
        "low": pytest.approx(-1.21328, abs=1e-4),
        "high": pytest.approx(1.96328, abs=1e-4),
        "pairs": 2,
        "reach": pytest.approx(1.58828, abs=1e-4),
    }
    assert paper["verdict"] == "tied"
    # Alpha .3 and 1.5 of 5; beta 2 and 7 of a ratio of 40, on a log scale.
    assert verdict["distance"] == {"alpha": pytest.approx(0.24), "beta": pytest.approx(0.33961, abs=1e-5)}
    assert (verdict["verdict"], verdict["found"], verdict["tuned"]) == ("within noise", BEST, PAPER)
    assert verdict["difference"] == paper["difference"]
    assert verdict["sentence"].startswith(
        "Within noise of the paper's setting (wtnpo on toy, forget10; stand-in, other recipe): alpha=0.3 "
    )
    assert again["found"] == f"python -m sweep.launch {config.storage / 'mine' / 'found.yaml'}"
    assert again.keys() == {"best", "found", "paper"}


def test_summary_of_a_sweep_in_which_nothing_finished(folder: Path, config: SweepConfig) -> None:
    """No best and so no best.yaml, nothing found; the paper's setting is known, but not how it did."""
    files = written(folder, config, [RECORDS[2]])
    summary = json.loads(files["summary.json"])
    assert summary["recovery"]["verdict"] == "undecided"
    assert summary["recovery"]["distance"] == {"alpha": None, "beta": None}
    assert (summary["best"], summary["finalists"]) == (None, [])
    assert summary["paper"] == {"params": PAPER, "metrics": None, "trial": None, "stand_in": True}
    assert summary["trials"] == {"planned": 3, "finished": 0, "failed": 1, "pruned": 0}
    assert set(AGAIN) & files.keys() == {"paper.yaml"}


def test_summary_of_an_objective_that_the_paper_did_not_tune(folder: Path, config: SweepConfig) -> None:
    """Gradient ascent has nothing to tune."""
    files = written(folder, config.model_copy(update={"objective": "ga"}))
    summary = json.loads(files["summary.json"])
    assert (summary["paper"], summary["recovery"]) == (None, None)
    assert set(AGAIN) & files.keys() == {"best.yaml"}


def test_comparison(folder: Path, config: SweepConfig) -> None:
    """Two sweeps as a line each: what was found, means over two seeds, and the gap of .25 and .75 with its interval."""
    worse = [
        trial(0, PAPER, 0.9),
        trial(1, BEST, 0.8),
        *trials.repeats(0, BEST, 0.5, 1.0, **{"forget/es": 0.5, "retain/es": 1.0}),
    ]
    write_results.write_comparison(
        folder,
        [
            SweepRecords(name="mine", config=config, records=RECORDS),
            SweepRecords(name="other", config=config.model_copy(update={"objective": "ga"}), records=worse),
        ],
    )
    better, other = csv.DictReader((folder / "comparison.csv").read_text(encoding="utf-8").splitlines())
    assert [better[key] for key in ("sweep", "objective", "model", "data")] == ["mine", "wtnpo + kl", "toy", "authors"]
    assert (better["alpha"], better["beta"], better["seeds"]) == ("0.30000000000000004", "2", "2")
    assert (better["score"], better["score/std"], better["forget/es"]) == ("0.25", "0.0", "0.25")
    assert (better["above_best"], better["p"], better["verdict"]) == ("", "", "tied")
    assert (better["recovery"], other["recovery"]) == ("within noise", "")
    assert (other["score"], other["forget/es"], other["retain/es"]) == ("0.75", "0.5", "1.0")
    # Gaps .25, .75: mean .5, error .25; t = 2 with one degree of freedom: p = 1 - (2/π) atan 2.
    assert other["above_best"] == "0.5"
    assert float(other["low"]) == pytest.approx(0.5 - 12.7062 * 0.25, abs=1e-4)
    assert float(other["p"]) == pytest.approx(1 - 2 / math.pi * math.atan(2))
    (group,) = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["groups"]
    assert (group["model"], group["data"], group["winner"]) == ("toy", "authors", None)
    assert group["sweeps"][1]["scores"] == {"1": 0.5, "2": 1.0}
    assert group["sweeps"][0]["recovery"]["verdict"] == "within noise"
