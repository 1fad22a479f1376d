"""Functions that make the missing artifacts of a sweep; they are pickled and run on the cluster."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, StageProgress

if TYPE_CHECKING:
    from eval.rows.types import Dataset


Preparer: TypeAlias = Callable[[], Iterator[StageProgress]]
"""Function that makes an artifact that all trials share, and yields its progress."""


def prepare_artifact(
    what: str, config: SweepConfig, dataset: "Dataset", artifacts: Artifacts
) -> Iterator[StageProgress]:
    """Call one of `sweep.prepare.build.PREPARERS`; with all arguments bound by `partial` this is a `Preparer`.

    Raises:
        MemoryError: memory ran out; the message names settings that take less.
    """
    # Imported here, on the worker: the driver needs no transformers.
    from sweep.prepare.build import PREPARERS
    from sweep.training.freed_memory import return_freed_memory
    from sweep.training.out_of_memory import translate_out_of_memory

    try:
        with translate_out_of_memory():
            yield from PREPARERS[what](config, dataset, artifacts)
    finally:
        return_freed_memory()


def missing_preparers(config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> list[Preparer]:
    """Return the functions that make the missing artifacts, in parallel; none if nothing is missing."""
    missing = artifacts.missing_names
    wanted = ["target and reference"] if {"target", "reference"} & {*missing} else []
    wanted += ["retain model"] if "retain model" in missing else []
    return [partial(prepare_artifact, what, config, dataset, artifacts) for what in wanted]
