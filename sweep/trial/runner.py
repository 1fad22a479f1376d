"""Run one trial and yield its record after each measured epoch, and finally as finished or failed with the reason."""

import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError, ProcessDiedError
from sweep.prepare.artifacts import Artifacts, StageProgress
from sweep.records import StepProgress, TrialRecord
from sweep.results.saved_models import SaveRequest
from sweep.trial.outcomes import EpochResult, GEffectResult, TrialFn, TrialItem, TrialOutcome

CHECKPOINTS_DIR = ".checkpoints"
"""Folder of the checkpoints of trials that run long, in the sweep's folder while the sweep runs."""

SaveRule: TypeAlias = Callable[[TrialRecord], SaveRequest | None]
"""Function that returns the request to save a trial's model; None where it is not to be saved."""


def unlearn(
    config: SweepConfig,
    artifacts: Artifacts,
    record: TrialRecord,
    saves: SaveRule | None = None,
    checkpoints: Path | None = None,
) -> Iterator[TrialItem]:
    """Unlearn with a trial's setting and seed; with all other arguments bound by `partial` this is a `TrialFn`.

    Args:
        config: the sweep's configuration.
        artifacts: what its trials share.
        record: the trial.
        saves: tells whether its model is saved; None: it is not.
        checkpoints: folder of the checkpoints of the sweep's trials; None: there are none.
    """
    # Imported here, on the worker: the driver of a cluster job needs no torch.
    from sweep.config.space import build_objective
    from sweep.training.freed_memory import return_freed_memory
    from sweep.trial.model_folder import save_models
    from sweep.trial.unlearn import measure_full_suite, measure_search_suite, run_unlearning, save_nothing

    is_first_report = (record.phase, record.seed) == ("finalist", config.seed + 1)
    suite = measure_full_suite if is_first_report or config.eval.suite == "full" else measure_search_suite
    request = None if saves is None else saves(record)
    try:
        yield from run_unlearning(
            config.with_setting(record.setting),
            artifacts,
            build_objective(config, record.setting),
            record.seed,
            suite,
            measure_full_suite if is_first_report else measure_search_suite,
            save_nothing if request is None else partial(save_models, request, artifacts, record),
            checkpoints and checkpoints / f"{record.phase}-{record.index}",
        )
    finally:
        return_freed_memory()


def export_model(
    config: SweepConfig, artifacts: Artifacts, record: TrialRecord, request: SaveRequest
) -> Iterator[StageProgress]:
    """Run a trial again and save its model; with all arguments bound by `partial` this is a `Preparer`.

    Raises:
        ConfigError: the model cannot be saved.
    """
    n_epochs, stage = config.with_setting(record.setting).train.epochs, f"model {request.label} of {request.sweep}"
    for item in unlearn(config, artifacts, record, lambda _: request):
        if isinstance(item, EpochResult):
            yield StageProgress(stage=stage, done=item.epoch, total=n_epochs + 1)
        elif isinstance(item, TrialOutcome) and item.unsaved:
            raise ConfigError(f"the {stage} is not saved: {item.unsaved}.")
    yield StageProgress(stage=stage, done=n_epochs + 1, total=n_epochs + 1)


def run_trial(run: TrialFn, record: TrialRecord) -> Iterator[TrialRecord]:
    """Run a trial and yield its record after each epoch result, then finished with metrics or failed with the reason.

    In between it yields the record with the progress of its steps, if it runs long.

    An exception fails the trial without ending its process, since a second attempt would raise it again. Only a process
    that died or ran out of memory, which others on its card may have taken, is worth another attempt: these errors are
    raised and end the process.

    Raises:
        ProcessDiedError: one of the trial's processes died.
        MemoryError: memory ran out.
    """
    record = replace(record, worker=f"{socket.gethostname()}:{os.getpid()}")
    try:
        for item in run(record):
            if isinstance(item, TrialOutcome):
                if item.unsaved:
                    print(f"the model of {record.phase} {record.index} is not saved: {item.unsaved}", file=sys.stderr)
                ended = _finish_record(record, item)
                break
            if isinstance(item, StepProgress):
                yield replace(record, progress=item)
                continue
            if isinstance(item, GEffectResult):
                record = replace(record, g_effects=[*record.g_effects, item.g_effect])
                continue
            record = replace(record, curve=[*record.curve, {"epoch": item.epoch, **item.metrics}])
            yield record
        else:
            ended = replace(record, state="failed", reason="the trial ended without an outcome")
    except (ProcessDiedError, MemoryError):
        raise
    except Exception as error:
        traceback.print_exc()
        ended = replace(record, state="failed", reason=describe_error(error))
    yield ended


def _finish_record(record: TrialRecord, outcome: TrialOutcome) -> TrialRecord:
    """Return the record of a trial that has this outcome."""
    return replace(
        record,
        state="finished",
        metrics=outcome.metrics,
        reason=outcome.reason,
        answers=outcome.answers,
        target_metrics=outcome.target_metrics,
    )


def describe_error(error: Exception) -> str:
    """Describe the error in one line, with the place in the code that raised it."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} ({error_location(error)})"


def error_location(error: Exception) -> str:
    """Return the last place outside the libraries in the error's traceback, or the error's own `place` if any."""
    places = traceback.extract_tb(error.__traceback__)
    place = [place for place in places if "site-packages" not in place.filename or place is places[0]][-1]
    return str(vars(error).get("place", f"{place.filename}, line {place.lineno}"))
