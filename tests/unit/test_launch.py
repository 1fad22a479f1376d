"""The command: what it refuses and how, what it only shows, and a whole small sweep with every signal (slow)."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT, SMALL, Command, refusal
from support.waiting import until
from sweep.launch import main
from sweep.ledger import created
from sweep.plans import again, asked

WGA, NPO, WTNPO = (str(ROOT / "configs" / f"{name}.yaml") for name in ("wga", "npo", "wtnpo"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test works in an empty folder of its own, which is where storage and MLflow's database go."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


refused = partial(refusal, main)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "a config file must come first"),
        (("search.trials=3",), "a config file must come first"),
        (("nosuch.yaml",), "nosuch.yaml"),
        ((WTNPO, "serch.trials=3"), "nearest: search"),
        ((WTNPO, "search.trials=0"), "search.trials = 0"),
        ((WTNPO, "model=tyni"), "tiny"),
        ((WTNPO, "~space.beta"), "beta is missing"),
        ((WTNPO, "data=tofu-forget01", "data.path=./nosuch"), "there is no such folder"),
        ((WTNPO, "ledger=nosuch://x"), "ledger = 'nosuch://x' cannot be opened"),
        ((WTNPO, "--name", "../x"), "nearest: x"),
        ((WTNPO, "--name", "a b"), "nearest: a-b"),
        ((WTNPO, "--nmae", "x"), "--nmae"),
        ((WTNPO, "--name"), "--name"),
        ((WTNPO, "--name", "x", "--resume", "y"), "not allowed with"),
        (("--resume", "gone"), "has no sweep of this name"),
        (("--resume", "../gone"), "nearest: gone"),
        (("--resume", "gone", "seed=2"), "only storage=DIR"),
    ],
)
def test_a_mistake_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], says: str
) -> None:
    """Exit code 2, one sentence that names the mistake, and nothing made: no folder, no database."""
    assert says in refused(capsys, *argv)
    assert list(here.iterdir()) == []


def test_a_name_that_exists_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of that name is in the way; it is left as it was."""
    (here / "runs" / "taken").mkdir(parents=True)
    assert "name = 'taken' exists" in refused(capsys, WTNPO, "--name", "taken")
    assert list((here / "runs" / "taken").iterdir()) == []


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """--help ends with 0 and shows commands that can be copied."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "python -m sweep.launch configs/wtnpo.yaml" in said
    assert "143 SIGTERM" in said


def test_help_and_mistakes_do_not_wait_for_torch() -> None:
    """Neither imports torch, Ray, Optuna or MLflow."""
    for argv in (["--help"], [WTNPO, "serch.trials=3"]):
        code = (
            "import sys; from sweep.launch import main\n"
            f"try: main({argv!r})\nexcept SystemExit: pass\n"
            "print(sorted({'torch', 'ray', 'optuna', 'mlflow'} & set(sys.modules)))"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout  # noqa: S603 (our own)
        assert out.splitlines()[-1] == "[]"


def test_a_dry_run_makes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the resolved config (which loads again), 3 trials + 3 settings on 1 seed, and what is not there yet."""
    assert main([WTNPO, *SMALL, "--name", "dry", "--dry-run"]) == 0
    shown, rest, needs = capsys.readouterr().out.rsplit("\n\n", 2)
    assert yaml.safe_load(shown)["train"]["epochs"] == 2
    assert rest.splitlines() == [
        "name: dry",
        "trials: 3, and 3 repeats of finalists on fresh seeds",
        "to prepare: target, reference",
    ]
    assert [line.split()[0] for line in needs.splitlines()[-3:]] == ["memory:", "time:", "disk:"]
    assert list(here.iterdir()) == []


def test_a_sweep_is_found_where_it_is(here: Path) -> None:
    """Also after its folder was moved: the configuration is its own, the storage is where it lies now."""
    first = asked([WTNPO, *SMALL, "seed=5"], "mine")
    (plan,) = first.plans
    with created(plan.config, plan.name):
        pass
    (here / "runs").rename(here / "moved")
    found = again(["storage=moved"], "mine")
    assert [one.config for one in found.plans] == [plan.config.model_copy(update={"storage": here / "moved"})]
    assert found.again == f"python -m sweep.launch --resume mine storage={here / 'moved'}"
    assert first.again == "give the same command again"


def statuses(here: Path) -> list[str]:
    """How MLflow's runs ended, those of the sweep and of its trials."""
    with sqlite3.connect(here / "mlflow.db") as database:
        return sorted(status for (status,) in database.execute("select status from runs"))


def test_a_whole_sweep(here: Path) -> None:
    """The real thing, small: exit code 0, its files, 1 + 3 + 3 MLflow runs, under 10 lines beside table and result."""
    command = Command(here, WTNPO, *SMALL, "--name", "whole")
    assert command.end() == 0, command.said()
    files = {"config.yaml", "study.db", "trials.csv", "times.csv", "summary.json", "best.yaml", "report.html"}
    assert files <= {path.name for path in (here / "runs" / "whole").iterdir()}
    summary = json.loads((here / "runs" / "whole" / "summary.json").read_text())
    assert summary["trials"] == {"planned": 3, "finished": 3, "failed": 0, "pruned": 0}
    assert statuses(here) == ["FINISHED"] * 7
    lines = command.said().splitlines()
    table = [line for line in lines if line.startswith(("search ", "finalist "))]
    assert len(table) == 6
    result = lines[lines.index(table[-1]) + 1 :]
    assert len(lines) - len(table) - len(result) + 2 < 10
    assert any("stand-in" in line for line in result)
    (parent,) = here.glob("mlruns/*/*/artifacts/report.html")
    assert parent.read_bytes() == (here / "runs" / "whole" / "report.html").read_bytes()
    assert sorted(path.name for path in parent.parent.glob("plots/*.png"))
    assert "mlflow ui --backend-store-uri sqlite:///" in result[-1]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_cleanly_and_the_sweep_goes_on(here: Path, signum: signal.Signals, code: int) -> None:
    """Exit code 130 or 143, how to go on, MLflow's runs KILLED, no process left; the resumed sweep is complete."""
    command = Command(here, WTNPO, *SMALL, "search.trials=6", "train.epochs=20", "--name", "cut")
    command.wait_for("search ")
    command.signal(signum)
    assert command.end() == code, command.said()
    assert "to go on: python -m sweep.launch --resume cut\n" in command.said()
    assert "KILLED" in statuses(here)
    assert "RUNNING" not in statuses(here)
    again = Command(here, "--resume", "cut")
    assert again.end() == 0, again.said()
    assert json.loads((here / "runs" / "cut" / "summary.json").read_text())["trials"]["finished"] == 6
    assert "prepared" not in again.said()


def test_a_comparison_is_interrupted_and_goes_on(here: Path) -> None:
    """Two sweeps by one name: whole after a resume, with the files of each and of both, in 2·(1 + 3 + 3) runs."""
    command = Command(here, WGA, NPO, *SMALL, "train.epochs=10", "--name", "both")
    command.wait_for(" search ")
    command.signal(signal.SIGINT)
    assert command.end() == 130, command.said()
    assert "to go on: python -m sweep.launch --resume both\n" in command.said()
    again = Command(here, "--resume", "both")
    assert again.end() == 0, again.said()
    for name in ("both.wga", "both.npo"):
        assert json.loads((here / "runs" / name / "summary.json").read_text())["trials"]["finished"] == 3
        assert (here / "runs" / name / "report.html").is_file()
    files = {"sweeps.yaml", "comparison.csv", "comparison.json", "report.html"}
    assert files <= {path.name for path in (here / "runs" / "both").iterdir()}
    assert statuses(here).count("FINISHED") == 14
    assert len(list(here.glob("mlruns/*/*/artifacts/both/report.html"))) == 2


def test_a_second_signal_ends_at_once(here: Path) -> None:
    """Exit code 130, no process left, and no word."""
    command = Command(here, WTNPO, *SMALL, "train.epochs=20", "--name", "cut")
    command.wait_for("search ")
    command.signal(signal.SIGINT)
    time.sleep(0.3)
    command.signal(signal.SIGINT)
    assert command.end() == 130
    assert "to go on" not in command.said()


def test_a_signal_while_preparing_leaves_no_sweep(here: Path) -> None:
    """There is nothing to resume: the same command begins again."""
    command = Command(here, WTNPO, "target.epochs=10000", "--name", "cut")
    until(lambda: command.over or any(here.glob("runs/.artifacts/*.lock")))
    command.signal(signal.SIGINT)
    assert command.end() == 130
    assert "give the same command again" in command.said()
    assert not (here / "runs" / "cut").exists()


def test_a_sweep_in_which_nothing_succeeds(here: Path) -> None:
    """An objective of the user's own that raises: exit code 1, each failure with reason and place, no best.yaml."""
    (here / "mine").mkdir()
    (here / "mine" / "broken.py").write_text(BROKEN)
    command = Command(here, WTNPO, *SMALL, "objective=mine.broken", "~space.alpha", "~space.beta", "--name", "broken")
    assert command.end() == 1, command.said()
    assert command.said().count("RuntimeError: broken on purpose (") == 3
    assert "mine/broken.py, line 15" in command.said()
    assert not (here / "runs" / "broken" / "best.yaml").exists()


BROKEN = '''"""An objective that raises."""

from dataclasses import dataclass
from typing import ClassVar

from objectives._base import Objective


@dataclass(frozen=True, kw_only=True)
class Broken(Objective):
    unit = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"logp"})

    def __call__(self, answers):
        raise RuntimeError("broken on purpose")
'''
