"""Faults of the world around a sweep in short; tests/faults/ has all of them, by command."""

import os
from pathlib import Path

import pytest

from faults import artifact, disk, memory


def test_memory_runs_out(tmp_path: Path) -> None:
    """Ray's monitor ends a worker, once: the trial is begun again on a fresh process, and the sweep is whole."""
    memory.ran_out(tmp_path, *memory.ACTS["Ray's monitor does"])


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which takes root")
def test_the_disk_is_full(tmp_path: Path) -> None:
    """In the search: one sentence, exit code 1, and whole once there is room."""
    disk.full_storage(tmp_path, disk.MOMENTS["in the search"])


def test_an_artifact_is_damaged_before_the_trials(tmp_path: Path) -> None:
    """No trial uses it; --resume makes it again, and the sweep is whole."""
    artifact.damaged_meanwhile(tmp_path, artifact.flipped)
