"""Faults of the world around a sweep in short; tests/faults/ has all of them, by command."""

import os
from functools import partial
from pathlib import Path

import pytest

from faults import artifact, disk, memory
from faults.common import Held, Toys


def test_memory_runs_out(tmp_path: Path, empty_mlflow: Path) -> None:
    """Ray's monitor ends a worker, once: the toy trial is begun again on a fresh process, and the sweep is whole."""
    memory.ran_out(tmp_path, (), memory.ENDED, begin=partial(Toys(empty_mlflow), TOY_RUN="hungry"))


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which takes root")
def test_the_disk_is_full(tmp_path: Path, empty_mlflow: Path) -> None:
    """In the search of toys: one sentence, exit code 1, and whole once there is room."""
    held = Held(Toys(empty_mlflow), 1)
    disk.full_storage(tmp_path, held.moment, held.start)


def test_an_artifact_is_damaged_before_the_trials(tmp_path: Path) -> None:
    """Of a real sweep: no trial uses it; --resume makes it again, and the sweep is whole."""
    artifact.damaged_meanwhile(tmp_path, artifact.flipped, artifact.made_before(tmp_path))
