"""Jobs on a real head with a dashboard and a token: a whole sweep, mistakes, Ctrl-C, the plain `ray job submit`."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import rays
from support.commands import ROOT, SMALL
from support.own import mine
from support.stores import statuses
from support.submits import submitted as submitted_each

WTNPO = str(ROOT / "configs" / "wtnpo.yaml")
PLANTED = {
    key: f"planted-{key}" for key in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PGPASSWORD")
}
"""Secrets of the machine that submits and of the head."""
TOKENS = {
    "Missing authentication token": {"RAY_AUTH_MODE": "disabled"},
    "Invalid authentication token": {"RAY_AUTH_TOKEN": "wrong-0123456789abcdef0123456789"},
    "RAY_AUTH_TOKEN_PATH": {"RAY_AUTH_TOKEN": "", "HOME": "/nosuch"},
}
"""What is said of a token that is missing or wrong: the variables of a machine that has none, or a wrong one."""


@pytest.fixture(scope="module")
def head() -> Iterator[rays.Head]:
    """One head for all tests."""
    with rays.head(rays.environment(**PLANTED)) as up:
        yield up


@pytest.fixture(scope="module")
def bad(head: rays.Head, tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """A job whose driver refuses what is not there, once it is over."""
    words = (WTNPO, "data=tofu-forget01", "data.path=/nosuch", "--name", "bad")
    command = submitted(tmp_path_factory.mktemp("bad"), head, *words)
    said, _ = command.communicate()
    return subprocess.CompletedProcess(command.args, command.returncode, said)


@pytest.fixture
def here(tmp_path: Path, empty_mlflow: Path) -> Path:
    """A working directory with a config and an objective of the user's own, and MLflow's database."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    return Path(mine(tmp_path))


def submitted(here: Path, head: rays.Head, *words: str, **variables: str) -> "subprocess.Popen[str]":
    """The command, its output in one text."""
    uri = f"sqlite:///{here / 'mlflow.db'}"
    command = [sys.executable, "-m", "sweep.submit", *words, f"storage={here / 'runs'}", "--address", head.dashboard]
    return subprocess.Popen(  # noqa: S603
        command,
        cwd=here,
        env=rays.environment(MLFLOW_TRACKING_URI=uri, **PLANTED) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ray_job(head: rays.Head, *words: str) -> str:
    """What `ray job` prints, in a process of its own: Ray would keep the token of this one."""
    command = ["ray", "job", words[0], "--address", head.dashboard, *words[1:]]
    done = subprocess.run(command, env=rays.environment(), capture_output=True, text=True)  # noqa: S603
    return done.stdout + done.stderr


def test_a_sweep_runs_as_a_job(head: rays.Head, here: Path) -> None:
    """The log is followed, exit code 0, the sweep's files are there; no secret in what it leaves, here or there."""
    command = submitted(here, head, "mine.yaml", *SMALL, "search.trials=2", "seeds=0", "--name", "first")
    said, _ = command.communicate()
    assert command.returncode == 0, said
    assert "job: first\n" in said
    assert "search 1  gamma=" in said
    summary = json.loads((here / "runs" / "first" / "summary.json").read_text())
    assert summary["trials"]["finished"] == 2
    assert statuses(here) == ["FINISHED"] * 3
    listed = ray_job(head, "list")
    assert "first" in listed
    files = [file for folder in (here, head.folder) for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 50
    left = {str(file): file.read_bytes() for file in files} | {"listed": listed.encode(), "said": said.encode()}
    secrets = [secret.encode() for secret in (*PLANTED.values(), rays.TOKEN)]
    assert [name for name, text in left.items() if any(secret in text for secret in secrets)] == []


def test_what_only_the_driver_finds_bad(bad: "subprocess.CompletedProcess[str]") -> None:
    """Exit code 2 through the job, its sentence in the log."""
    assert bad.returncode == 2, bad.stdout
    last = bad.stdout.splitlines()[-1]
    assert last.startswith("error: ")
    assert "/nosuch" in last


def test_what_the_head_refuses(head: rays.Head, here: Path, bad: object) -> None:
    """A name that is taken, a token that is missing or wrong: one sentence, exit code 2, and nothing was sent."""
    uri = {"MLFLOW_TRACKING_URI": f"sqlite:///{here / 'mlflow.db'}"}
    own = rays.environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", **uri, **PLANTED)
    words = (WTNPO, f"storage={here / 'runs'}", "--address", head.dashboard, "--name")
    shut = [*words, "shut"]
    said = submitted_each(here, [({}, [*words, "bad"]), *((variables, shut) for variables in TOKENS.values())], own)
    assert [one.code for one in said] == [2] * (1 + len(TOKENS))
    taken, *refused = (one.text for one in said)
    assert taken.splitlines()[-1] == "error: name = 'bad' is taken by a job of the cluster: choose another with --name."
    for says, text in zip(TOKENS, refused, strict=True):
        assert text.count("\n") == 1
        assert text.startswith(f"error: {head.dashboard} refuses: ")
        assert says in text
        assert "wrong-0" not in text
    assert "shut" not in ray_job(head, "list")


def test_control_c_leaves_the_job_alone(head: rays.Head, here: Path) -> None:
    """130, and the commands that look after it, which are used: it runs, and is stopped."""
    command = submitted(here, head, WTNPO, "target.epochs=10000", "--name", "long")
    assert command.stdout is not None
    lines = iter(command.stdout.readline, "")
    assert any("Running entrypoint for job long" in line for line in lines)  # its log is shown
    command.send_signal(signal.SIGINT)
    said = "".join(lines)
    assert command.wait() == 130
    after = [line for line in said.splitlines() if line.startswith("ray job ")]
    assert [line.split()[2] for line in after] == ["status", "logs", "stop"]
    assert all(line.endswith(f"long --address {head.dashboard}") for line in after)
    assert "RUNNING" in ray_job(head, "status", "long")
    assert "was stopped" in ray_job(head, "stop", "long")


def test_a_job_without_the_command(head: rays.Head, here: Path) -> None:
    """`ray job submit` in a checkout: it runs uninstalled, and what sweeps left there is not sent."""
    for package in ("sweep", "objectives", "eval", "configs"):
        shutil.copytree(ROOT / package, here / "checkout" / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".rayignore", ".gitignore"):
        shutil.copy(ROOT / name, here / "checkout")
    for left in ("runs/old/study.db", "mlruns/1/x", "mlflow.db", ".git/x", ".venv/x"):
        (here / "checkout" / left).parent.mkdir(parents=True, exist_ok=True)
        (here / "checkout" / left).touch()
    driver = f"ls -A && python -m sweep.launch configs/wtnpo.yaml storage={here / 'runs'} --name plain --dry-run"
    said = ray_job(head, "submit", "--working-dir", str(here / "checkout"), "--", "sh", "-c", driver)
    assert "succeeded" in said
    assert "name: plain\n" in said
    sent = set(said.splitlines())
    assert {"sweep", "objectives", "eval", "configs"} <= sent
    assert not sent & {"runs", "mlruns", "mlflow.db", ".git", ".venv"}
