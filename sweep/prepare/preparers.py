"""Functions that make the missing artifacts of a sweep; they are pickled and run on the cluster."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, Progress

if TYPE_CHECKING:
    from eval.rows.types import Dataset


Maker: TypeAlias = Callable[[], Iterator[Progress]]
"""Function that makes an artifact that all trials share, and yields its progress."""


def prepare(what: str, config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> Iterator[Progress]:
    """Call one of `sweep.prepare.build.PREPARERS`; with all arguments bound by `partial` this is a `Preparer`.

    Raises:
        MemoryError: memory ran out; the message names settings that take less.
    """
    # Imported here, on the worker: the driver needs no transformers.
    from sweep.prepare.build import MAKERS
    from sweep.training.out_of_memory import in_words

    with in_words():
        yield from MAKERS[what](config, dataset, artifacts)


def makers(config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> list[Maker]:
    """Return the functions that make the missing artifacts, in parallel; none if nothing is missing."""
    missing = artifacts.missing
    wanted = ["target and reference"] if {"target", "reference"} & {*missing} else []
    wanted += ["retain model"] if "retain model" in missing else []
    return [partial(prepare, what, config, dataset, artifacts) for what in wanted]
