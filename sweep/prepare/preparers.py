"""The functions that make the missing artifacts of a sweep; they are pickled and run on the cluster."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts, Progress

if TYPE_CHECKING:
    from eval.rows.types import Dataset


Maker: TypeAlias = Callable[[], Iterator[Progress]]
"""Makes something that all trials share, and yields how far it is."""


def prepare(what: str, config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> Iterator[Progress]:
    """Make one of `sweep.prepare.build.MAKERS`; a partial of all that is a `Maker`."""
    # Imported here, on the worker: the driver needs no transformers.
    from sweep.prepare.build import MAKERS
    from sweep.training.out_of_memory import in_words

    with in_words():
        yield from MAKERS[what](config, dataset, artifacts)


def makers(config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> list[Maker]:
    """What makes the missing artifacts, side by side; none where nothing is missing."""
    missing = artifacts.missing
    wanted = ["target and reference"] if {"target", "reference"} & {*missing} else []
    wanted += ["retain model"] if "retain model" in missing else []
    return [partial(prepare, what, config, dataset, artifacts) for what in wanted]
