"""Toy targets for the tests: trained once a session in each precision, in one storage that all its processes share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from support.toys import config, dataset
from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, plan
from sweep.prepare.preparers import makers

Toy: TypeAlias = tuple[SweepConfig, Artifacts]
"""A toy sweep whose artifacts are there."""
Prepared: TypeAlias = Callable[..., Toy]
"""Gives the toy sweep in a precision, blocks replaced by the arguments, as `prepared` below does in the storage."""
FULL = {"every": 1, "suite": "full"}
"""The block `eval` with all metrics, for which there is a retain model too."""


def prepared(storage: Path, precision: str = "float32", **blocks: Any) -> Toy:
    """The toy sweep in a precision, what its trials need made where it is missing.

    Whoever damages an artifact copies the storage first: others read it.

    Args:
        storage: the folder of the session.
        precision: of the training.
        **blocks: blocks of the configuration, as for `support.toys.config`.
    """
    sweep = config(storage, **blocks | {"train": {"precision": precision} | blocks.get("train", {})})
    return sweep, made(sweep)


def made(sweep: SweepConfig) -> Artifacts:
    """What the trials of a toy sweep need, made where it is missing; of two at once the second waits."""
    artifacts = plan(sweep, dataset())
    for maker in makers(sweep, dataset(), artifacts):
        list(maker())
    return artifacts
