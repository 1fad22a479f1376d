"""The command: what it refuses and how, and what it only shows."""

import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT, SMALL, refusal
from support.trials import PAPER
from sweep.config.compose import load
from sweep.config.request import find_config
from sweep.launch import main
from sweep.plan.launch_plan import plan_new, plan_resume
from sweep.prepare.cost import Speed
from sweep.prepare.memory import StageMemory
from sweep.results.notes import warn_of_few_rows
from sweep.search.study import TrialRequest, create_study

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")


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


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial is known to take a GB, and this machine a second for each step of the two that it runs at once."""
    stage = StageMemory(weights=0, head=0, gradients=0, optimizer=0, activations=10**9)
    monkeypatch.setattr("sweep.prepare.memory.measure_stages", lambda *_: {"unlearning": stage})
    known = Speed(step_s=1.0, trained_s=0.0, read_s=0.0, n_at_once=2)
    monkeypatch.setattr("sweep.prepare.forecast.time_sweep", lambda *_: known)


@pytest.mark.usefixtures("timed")
def test_a_dry_run_says_what_would_happen_and_makes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In at most fifteen lines: search, trials, rows, what is missing, what it takes, where it goes, the command."""
    assert main([WTNPO, *SMALL, "search.race=2", "--name", "dry", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = dict(line.split(": ", 1) for line in lines)
    assert len(lines) <= 15
    assert [*said] == [
        *("name", "search", "space", "trials", "rows", "row", "to prepare", "memory", "time", "disk"),
        *("note", "files", "start"),
    ]
    assert said["name"] == "dry"
    assert said["search"].startswith("wtnpo + kl on tiny, authors, by auto (gp) on 8 seeds in turn, the paper's alpha")
    assert said["space"] == "alpha 0 to 5, beta 0.25 to 10 (log); all keys: --cfg job"
    assert said["trials"] == "3, then a race of at most 2 runs, then 2 runs on report seeds: at most 7"
    assert said["rows"] == "8 forget, 16 retain, 8 holdout"
    assert re.fullmatch(r"'Q.*:' -> ' .*<\|end\|>' \(\d+ and \d+ tokens\)", said["row"])
    assert said["to prepare"] == "target, reference"
    assert said["memory"].startswith("1 GB; ")
    # a step a trial; 2 epochs of 32 rows are 4 steps of fine-tuning; and 15 s to start: 15 + 4 + 7 / 2
    assert said["time"].startswith("about 22 s: 4 s to prepare, 1 s a trial, 2 at once (")
    assert said["note"] == warn_of_few_rows(0.95, 8)
    assert said["files"] == f"{here / 'runs' / 'dry'}; MLflow: sqlite:///{here / 'mlflow.db'}"
    assert said["start"] == f"python -m sweep.launch {shlex.join([WTNPO, *SMALL, 'search.race=2', '--name', 'dry'])}"
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("timed")
def test_a_dry_run_of_what_has_begun_counts_the_rest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of three trials is over."""
    (plan,) = plan_new([WTNPO, *SMALL, "search.race=0", "seeds=0"], "mine").plans
    with create_study(plan.config, plan.name) as study:
        opened = study.open_attempt(TrialRequest(phase="search", index=0, seed=0, setting=PAPER))
        study.close_attempt(replace(opened, state="finished", metrics={"score": 0.5}, ended=1.0))
    assert main(["--resume", "mine", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "trials: 3; 1 are over already\n" in said
    assert "start: python -m sweep.launch --resume mine\n" in said


@pytest.mark.usefixtures("timed")
def test_a_dry_run_of_a_comparison_has_a_line_for_each_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    """And what all of them take."""
    assert main(["wga", "npo", *SMALL, "--name", "two", "--dry-run"]) == 0
    head, first, second, note, together, files, start = capsys.readouterr().out.splitlines()
    assert head == "comparison: two"
    assert first.startswith("two.wga: 3, then ") and second.startswith("two.npo: 3, then ")
    assert note.startswith("note: ") and together.startswith("together: time about ")
    assert files.endswith("mlflow.db") and start.startswith("start: python -m sweep.launch wga npo ")


def test_cfg_prints_the_configuration_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """YAML that loads again as the same configuration, even if its name is taken; several are several documents."""
    (here / "runs" / "taken").mkdir(parents=True)
    assert main(["wtnpo", *SMALL, "--name", "taken", "--cfg", "job"]) == 0
    (here / "again.yaml").write_text(capsys.readouterr().out)
    assert load(here / "again.yaml") == load(find_config("wtnpo"), SMALL)
    assert main(["wga", "npo", *SMALL, "--cfg", "job"]) == 0
    documents = [*yaml.safe_load_all(capsys.readouterr().out)]
    assert [one["objective"] for one in documents] == ["wga", "npo"]


def test_cfg_prints_what_a_stored_sweep_was_begun_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own keys; another value of --cfg is refused."""
    (plan,) = plan_new([WTNPO, *SMALL, "seed=5"], "mine").plans
    with create_study(plan.config, plan.name):
        pass
    assert main(["--resume", "mine", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["seed"] == 5
    assert "--cfg: invalid choice: 'hydra'" in refused(capsys, WTNPO, "--cfg", "hydra")
    assert "not allowed with" in refused(capsys, WTNPO, "--cfg", "job", "--dry-run")


def test_a_sweep_is_found_where_it_is(here: Path) -> None:
    """Also after its folder was moved: the configuration is its own, the storage is where it lies now."""
    first = plan_new([WTNPO, *SMALL, "seed=5"], "mine")
    (plan,) = first.plans
    with create_study(plan.config, plan.name):
        pass
    (here / "runs").rename(here / "moved")
    found = plan_resume(["storage=moved"], "mine")
    assert [one.config for one in found.plans] == [plan.config.model_copy(update={"storage": here / "moved"})]
    assert found.resume_command == f"python -m sweep.launch --resume mine storage={here / 'moved'}"
    assert first.resume_command == "give the same command again"
