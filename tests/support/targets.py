"""Toy targets, trained once a test session in each precision, in one storage that all its processes share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from support.toys import config, dataset
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, locate_artifacts
from sweep.prepare.preparers import missing_preparers

Toy: TypeAlias = tuple[SweepConfig, Artifacts]
"""A toy sweep with its prepared artifacts."""
Prepared: TypeAlias = Callable[..., Toy]
"""Type of the fixture that calls `prepared` below with the storage of the session."""
FULL = {"every": 1, "suite": "full"}
"""Block `eval` with all metrics, which needs a retain model too."""


def prepared(storage: Path, precision: str = "float32", **blocks: Any) -> Toy:
    """Return the toy sweep in a precision, and prepare its missing artifacts.

    A test that damages an artifact must copy the storage first, because others read it.

    Args:
        storage: storage of the test session.
        precision: precision of the training.
        **blocks: blocks of the configuration, as for `support.toys.config`.
    """
    sweep = config(storage, **blocks | {"train": {"precision": precision} | blocks.get("train", {})})
    return sweep, made(sweep)


def made(sweep: SweepConfig) -> Artifacts:
    """Prepare the missing artifacts of a toy sweep; of two callers at once the second waits."""
    artifacts = locate_artifacts(sweep, dataset())
    for preparer in missing_preparers(sweep, dataset(), artifacts):
        list(preparer())
    return artifacts
