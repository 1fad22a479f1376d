"""Run one trial: its record grows epoch by epoch and ends finished, or failed with the reason."""

import os
import socket
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.config.schema import SweepConfig
from sweep.prepare.artifacts import Artifacts
from sweep.records import Record

if TYPE_CHECKING:
    pass
from sweep.errors import ProcessDiedError
from sweep.trial.outcomes import Outcome, Point, Run


def unlearn(config: SweepConfig, artifacts: Artifacts, record: Record) -> Iterator[Point | Outcome]:
    """Unlearn with a trial's setting and seed; a partial of config and artifacts is a `Run`."""
    # Imported here, on the worker: the driver of a cluster job needs no torch.
    from sweep.config.space import objective_of
    from sweep.trial.unlearn import full_suite, run, search_suite

    suite = full_suite if record.phase == "finalist" or config.eval.suite == "full" else search_suite
    own = config.with_setting(record.setting)
    yield from run(own, artifacts, objective_of(config, record.setting), record.seed, suite)


def grow(run: Run, record: Record) -> Iterator[Record]:
    """The record after each point of its curve, and at last finished with its metrics, or failed with the reason.

    An exception is the end of the trial and not of its process: it would come again. Only a process that died is worth
    another try, and one whose memory ran out, which others on its card may have taken: it ends.
    """
    record = replace(record, worker=f"{socket.gethostname()}:{os.getpid()}")
    try:
        for item in run(record):
            if isinstance(item, Outcome):
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
