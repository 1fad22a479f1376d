"""What a worker runs: one trial after another in the same process, each reported to the driver as a growing record."""

import os
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sweep.config import SweepConfig
from sweep.deaths import ended_after, stack_of
from sweep.record import Record, Setting
from sweep.unlearning.artifacts import Artifacts, Progress

if TYPE_CHECKING:
    from eval.data import Dataset
    from sweep.ledger import Ledger


class Point(Protocol):
    """Where a trial stands after an epoch."""

    @property
    def epoch(self) -> int:
        """Epochs done, from 1."""

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured."""


class Outcome(Protocol):
    """How a trial ended."""

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics, with the score."""

    @property
    def reason(self) -> str:
        """Why it got the worst score; else empty."""


class ProcessDiedError(Exception):
    """One of a trial's processes died: another try may go well."""


Maker: TypeAlias = Callable[[], Iterator[Progress]]
"""Makes something that all trials share, and yields how far it is."""
Run: TypeAlias = Callable[[Record], Iterator[Point | Outcome]]
"""Runs a trial; yields points of its curve, then the outcome."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A sweep as Ray runs it; makers and trial are pickled and run where the resources are.

    Attributes:
        name: the sweep's name.
        config: the sweep.
        held: makes or opens the sweep's folder and ledger.
        makers: make what its trials share; none where it is all there.
        trial: runs one trial.
        paper: the paper's setting, if there is one.
    """

    name: str
    config: SweepConfig
    held: "Callable[[], AbstractContextManager[Ledger]]"
    makers: Sequence[Maker]
    trial: Run
    paper: Setting | None


def prepare(what: str, config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> Iterator[Progress]:
    """Make one of `sweep.unlearning.prepare.MAKERS`; a partial of all that is a `Maker`."""
    # Imported here, on the worker: the driver needs no transformers.
    from sweep.unlearning.exhaustion import in_words
    from sweep.unlearning.prepare import MAKERS

    with in_words():
        yield from MAKERS[what](config, dataset, artifacts)


def makers(config: SweepConfig, dataset: "Dataset", artifacts: Artifacts) -> list[Maker]:
    """What makes the missing artifacts, side by side; none where nothing is missing."""
    missing = artifacts.missing
    wanted = ["target and reference"] if {"target", "reference"} & {*missing} else []
    wanted += ["retain model"] if "retain model" in missing else []
    return [partial(prepare, what, config, dataset, artifacts) for what in wanted]


def unlearn(config: SweepConfig, artifacts: Artifacts, record: Record) -> Iterator[Point | Outcome]:
    """Unlearn with a trial's setting and seed; a partial of config and artifacts is a `Run`."""
    # Imported here, on the worker: the driver of a cluster job needs no torch.
    from sweep.space import objective_of
    from sweep.unlearning.run import full_suite, run, search_suite

    suite = full_suite if record.phase == "finalist" or config.eval.suite == "full" else search_suite
    own = config.with_setting(record.setting)
    yield from run(own, artifacts, objective_of(config, record.setting), record.seed, suite)


def trainable(
    runs: Sequence[Run], deadline: float | None = None
) -> Callable[[dict[str, Any]], Iterator[dict[str, Any]]]:
    """The function that Ray Tune runs for each trial; its config holds the record and the place of its sweep.

    Args:
        runs: the function of each sweep.
        deadline: hours after which a trial is taken to hang; None: no limit.
    """

    def trial(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        # Imported here, on the worker: whoever only looks at this module does not wait for Ray.
        from ray import tune

        with ended_after(deadline, stack_of(tune.get_context().get_trial_dir())):
            for record in grow(runs[config["sweep"]], config["record"]):
                yield {"record": record}

    return trial


def grow(run: Run, record: Record) -> Iterator[Record]:
    """The record after each point of its curve, and at last finished with its metrics, or failed with the reason.

    An exception is the end of the trial and not of its process: it would come again. Only a process that died is worth
    another try, and one whose memory ran out, which others on its card may have taken: it ends.
    """
    record = replace(record, worker=f"{socket.gethostname()}:{os.getpid()}")
    try:
        for item in run(record):
            if hasattr(item, "reason"):
                ended = replace(record, state="finished", metrics=item.metrics, reason=item.reason)
                break
            record = replace(record, curve=[*record.curve, {"epoch": item.epoch, **item.metrics}])
            yield record
        else:
            ended = replace(record, state="failed", reason="the trial ended without an outcome")
    except (ProcessDiedError, MemoryError):
        raise
    except Exception as error:
        traceback.print_exc()
        ended = replace(record, state="failed", reason=why(error))
    yield ended


def why(error: Exception) -> str:
    """The error in one line, with its place."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} ({place_of(error)})"


def place_of(error: Exception) -> str:
    """The last place outside the libraries that an error went through; its own word for it, if it has one."""
    places = traceback.extract_tb(error.__traceback__)
    place = [place for place in places if "site-packages" not in place.filename or place is places[0]][-1]
    return str(vars(error).get("place", f"{place.filename}, line {place.lineno}"))
