"""Faults of the world around a sweep in short; tests/faults/ has all of them, by command.

A damaged artifact is in test_control_c.py.
"""

import os
from functools import partial
from pathlib import Path

import pytest

from faults import disk, memory
from faults.common import Held, Toys


def test_memory_runs_out(tmp_path: Path, empty_mlflow: Path) -> None:
    """Ray's monitor ends a worker, once: the toy trial is begun again on a fresh process, and the sweep is whole."""
    memory.ran_out(tmp_path, (), memory.ENDED, begin=partial(Toys(empty_mlflow), TOY_RUN="hungry"))


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which takes root")
def test_the_disk_is_full(tmp_path: Path, empty_mlflow: Path) -> None:
    """In the search of toys: one sentence, exit code 1, and whole once there is room."""
    held = Held(Toys(empty_mlflow), 1)
    disk.full_storage(tmp_path, held.moment, held.start)
