"""configs/deploy/slurm.sh, as bash and shellcheck read it; what a job does with it is in test_slurm.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from eval.shipped_configs import CONFIGS

SCRIPT = (CONFIGS / "deploy" / "slurm.sh").read_text(encoding="utf-8")
COMMANDS = (["/bin/bash", "-n"], [str(Path(sys.executable).with_name("shellcheck")), "--shell=bash", "-"])


def check(text: str) -> None:
    """Check a script; raises CalledProcessError where something is wrong with it."""
    for command in COMMANDS:
        subprocess.run(command, input=text, check=True, text=True, capture_output=True)  # noqa: S603 (our own words)


def test_the_script_is_what_bash_reads() -> None:
    """And shellcheck has nothing to say."""
    check(SCRIPT)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("then\n", "than\n"),
        ('"$@" --num', "$@ --num"),
        ("$SLURM_JOB_NODELIST joined", "$SLURM_JOB_NODELIST joined $secons"),
    ],
)
def test_a_typo_is_refused(right: str, wrong: str) -> None:
    """A check that lets everything pass would show nothing."""
    assert right in SCRIPT
    with pytest.raises(subprocess.CalledProcessError):
        check(SCRIPT.replace(right, wrong))
