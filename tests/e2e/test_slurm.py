"""configs/deploy/slurm.sh as a job of a real Slurm, whose two nodes are both this machine; the trials are toys."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from optuna import load_study
from optuna.trial import TrialState

from eval.shipped_configs import CONFIGS
from support.commands import ROOT, SMALL
from support.servers import free_port, running
from support.waiting import until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
MISSING = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"Debian's slurm-wlm is not installed: no {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurmd must be root"),
]
CONFIG = """
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MinJobAge=5
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=64 Gres=gpu:8
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=64 Gres=gpu:8
PartitionName=all Nodes=ALL Default=YES State=UP
"""
"""Nodes that say to have 64 cores and eight GPUs each, which no trial of this test asks for."""
PYTHON = f"""#!/bin/sh
if [ "$1 $2" = "-m sweep.launch" ]; then
    shift 2
    exec {sys.executable} -m support.toy_launch "$@"
fi
exec {sys.executable} "$@"
"""
"""The `python` that the script finds: it runs toy trials where the script runs sweep.launch."""


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The commands of Slurm speak to a cluster of this test."""
    folder = tmp_path_factory.mktemp("slurm")
    ports = {name: free_port() for name in ("controller", "first", "second")}
    text = CONFIG.format(folder=folder, host=socket.gethostname(), **ports)
    (folder / "slurm.conf").write_text(text, encoding="ascii")
    (folder / "gres.conf").write_text("NodeName=n[1-2] Name=gpu File=/dev/tty[0-7]\n", encoding="ascii")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="ascii")
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    munge = [f"--{option}={folder}/munge.{end}" for option, end in files.items()]
    (folder / "python").write_text(PYTHON, encoding="utf-8")
    (folder / "python").chmod(0o700)
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    own = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TOY_HOLD": "1"}
    variables = own | {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    daemons = {
        "munge": ["munged", "--foreground", "--force", *munge],
        "controller": ["slurmctld", "-D"],
        **{node: ["slurmd", "-D", "-N", node] for node in ("n1", "n2")},
    }
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for key, value in variables.items():
            patch.setenv(key, value)
        for name, command in daemons.items():
            (folder / name).mkdir()
            stack.enter_context(running(command, folder / name, lambda: True))
        until(lambda: asked(["sinfo", "--noheader", "--format=%T"]).split() == ["idle"])
        yield
        asked(["scancel", "--user=root"])
        until(lambda: not asked(["squeue", "--noheader"]))


def asked(command: Sequence[str]) -> str:
    """What a command of Slurm says."""
    return subprocess.run(command, check=False, text=True, capture_output=True).stdout  # noqa: S603 (our own words)


def submitted(folder: Path, nodes: int, *words: str) -> subprocess.Popen[bytes]:
    """A job on nodes of one core each; the process lasts as long as the job and ends with its exit code.

    Its trials leave their files in the folder, and wait there for one.
    """
    script = str(CONFIGS / "deploy" / "slurm.sh")
    options = ["--wait", f"--nodes={nodes}", "--cpus-per-task=1"]
    options += [f"--chdir={folder}", "--output=log", "--open-mode=truncate"]
    variables = os.environ | {"TOY_FOLDER": str(folder)}
    return subprocess.Popen(["sbatch", *options, script, *words], cwd=folder, env=variables)  # noqa: S603, S607 (our own)


def states(folder: Path) -> list[TrialState]:
    """The states of all attempts at trials."""
    study = load_study(study_name="slurm", storage=f"sqlite:///{folder / 'runs' / 'slurm' / 'study.db'}")
    return [trial.state for trial in study.get_trials(deepcopy=False)]


def test_a_job_ends_cleanly_and_is_gone_on_with(mlflow_here: Path, slurm: None) -> None:
    """Asked to end, as five minutes before its time limit, it leaves nothing open; the next job runs what is left.

    The first one is on two nodes, the next one on a single one.
    """
    log = mlflow_here / "log"
    words = (str(CONFIGS / "wtnpo.yaml"), *SMALL, "search.trials=2", "seeds=0", "--name", "slurm")
    job = submitted(mlflow_here, 2, *words)
    until(lambda: job.poll() is not None or (mlflow_here / "began-search-1").exists())
    until(lambda: job.poll() is not None or TrialState.COMPLETE in states(mlflow_here))
    asked(["scancel", "--batch", "--signal=TERM", "--name=sweep"])
    assert job.wait() == 128 + signal.SIGTERM, log.read_text()
    assert "interrupted; to go on: python -m sweep.launch --resume slurm" in log.read_text()
    assert TrialState.RUNNING not in states(mlflow_here)
    assert states(mlflow_here).count(TrialState.COMPLETE) == 1
    (mlflow_here / "go").touch()
    assert submitted(mlflow_here, 1, "--resume", "slurm").wait() == 0, log.read_text()
    assert states(mlflow_here).count(TrialState.COMPLETE) == 2
    assert (mlflow_here / "runs" / "slurm" / "report.html").exists()
