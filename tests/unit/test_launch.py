"""The command: what it refuses and how, and what it only shows."""

import re
from functools import partial
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT, SMALL, refusal
from sweep.launch import main
from sweep.plan.launch_plan import plan_new, plan_resume
from sweep.results.notes import warn_of_few_rows
from sweep.search.study import create_study

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


def test_a_dry_run_makes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the resolved config (which loads again), the trials, what is missing, and a row with its labels."""
    assert main([WTNPO, *SMALL, "search.race=2", "--name", "dry", "--dry-run"]) == 0
    shown, rest, needs = capsys.readouterr().out.rsplit("\n\n", 2)
    assert yaml.safe_load(shown)["train"]["epochs"] == 2
    *planned, prompt, labels = rest.splitlines()
    assert planned == [
        "name: dry",
        "rows: 8 forget, 16 retain, 8 holdout",
        "trials: 3, then a race of at most 2 runs, then 2 runs on report seeds",
        "to prepare: target, reference",
        f"note: {warn_of_few_rows(0.95, 8)}",
    ]
    assert re.match(r"a row's prompt, \d+ tokens: 'Q.* ':'$", prompt)
    assert re.match(r"and its labels, \d+ tokens: ' .*' '<\|end\|>'$", labels)
    assert [line.split()[0] for line in needs.splitlines()[-3:]] == ["memory:", "time:", "disk:"]
    assert list(here.iterdir()) == []


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
