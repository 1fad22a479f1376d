"""Signals to the driver of a toy sweep, and sweeps that go on or come to nothing; test_control_c.py has a real one."""

import json
import signal
import time
from pathlib import Path

from support.commands import ROOT, SMALL, ToyCommand
from support.stores import statuses
from support.waiting import until

WGA, NPO, WTNPO = (str(ROOT / "configs" / f"{name}.yaml") for name in ("wga", "npo", "wtnpo"))


def toy(here: Path, *words: str, **variables: str) -> ToyCommand:
    """A toy sweep in a folder, where its storage, MLflow's database and the files that its trials leave go."""
    own = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TOY_FOLDER": str(here)}
    return ToyCommand(here, *words, variables=own | variables)


def wait_for(command: ToyCommand, file: Path) -> None:
    """Until a file is there that a trial or a maker leaves."""
    until(lambda: command.over or file.exists())
    assert file.exists(), command.said()


def test_a_comparison_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    """By SIGTERM: exit code 143, how to go on, MLflow's runs KILLED, no process left.

    The comparison, resumed with another trial for each, is whole, with the files of each sweep and of both, in
    2·(1 + 4 + 2) runs.
    """
    command = toy(tmp_path, WGA, NPO, *SMALL, "--name", "both", TOY_HOLD="1")
    command.wait_for(" search 0")
    wait_for(command, tmp_path / "began-search-1")
    until(lambda: command.over or len(statuses(tmp_path)) > 2)  # MLflow has trials too
    command.signal(signal.SIGTERM)
    assert command.end() == 143, command.said()
    assert "to go on: python -m sweep.launch --resume both\n" in command.said()
    assert "KILLED" in statuses(tmp_path)
    assert "RUNNING" not in statuses(tmp_path)
    again = toy(tmp_path, "--resume", "both", "search.trials=4")
    assert again.end() == 0, again.said()
    for name in ("both.wga", "both.npo"):
        assert f"note: {name} goes on with search.trials = 4 instead of 3\n" in again.said()
        assert json.loads((tmp_path / "runs" / name / "summary.json").read_text())["trials"]["finished"] == 4
        assert (tmp_path / "runs" / name / "report.html").is_file()
    files = {"sweeps.yaml", "comparison.csv", "comparison.json", "report.html"}
    assert files <= {path.name for path in (tmp_path / "runs" / "both").iterdir()}
    assert statuses(tmp_path).count("FINISHED") == 14
    assert "RUNNING" not in statuses(tmp_path)
    assert len(list(tmp_path.glob("mlruns/*/*/artifacts/both/report.html"))) == 2


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Exit code 130, no process left after ten seconds, and how to go on."""
    command = toy(tmp_path, WTNPO, *SMALL, "--name", "cut", TOY_HOLD="0")
    wait_for(command, tmp_path / "began-search-0")
    command.signal(signal.SIGINT)
    command.signal(signal.SIGTERM)  # another one: two of a kind may come as one
    assert command.code() == 130
    ended = time.monotonic()
    until(lambda: command.left() == {})
    assert time.monotonic() - ended < 10
    assert command.said().endswith("stopped at once; to go on: python -m sweep.launch --resume cut\n")


def test_a_signal_while_preparing_leaves_no_sweep(tmp_path: Path) -> None:
    """By SIGHUP to all of its group, as a closed terminal sends it: exit code 129, no process left.

    There is nothing to resume: the same command begins again.
    """
    command = toy(tmp_path, WTNPO, "--name", "cut", TOY_PREPARATION="waiting")
    wait_for(command, tmp_path / "preparing")
    command.signal_group(signal.SIGHUP)
    assert command.end() == 129, command.said()
    assert "give the same command again" in command.said()
    assert not (tmp_path / "runs" / "cut").exists()


def test_a_sweep_in_which_nothing_succeeds(tmp_path: Path) -> None:
    """Exit code 1, each failure with reason and place, no best.yaml."""
    command = toy(tmp_path, WTNPO, *SMALL, "--name", "broken", TOY_RUN="broken")
    assert command.end() == 1, command.said()
    trials = [line for line in command.said().splitlines() if line.startswith("search ")]
    assert len(trials) == 3
    told = f"failed (RuntimeError: broken on purpose ({ROOT / 'tests' / 'support' / 'workers.py'}, line "
    assert all(told in line for line in trials)
    assert not (tmp_path / "runs" / "broken" / "best.yaml").exists()
