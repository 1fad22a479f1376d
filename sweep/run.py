"""Run sweeps: connect to Ray, prepare what the trials share, open the studies, tune, and collect the results."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sweep.callbacks import SweepsDisplay
from sweep.cluster import shared_storage
from sweep.cluster.connection import connect_ray
from sweep.cluster.head_watch import watch_head
from sweep.cluster.preparation import run_preparation
from sweep.cluster.searcher import Search, StudySearcher
from sweep.cluster.tuner import StepCallback, run_trials
from sweep.config.stored import sweep_arguments
from sweep.display import open_display
from sweep.errors import Interrupted
from sweep.plan.job import SweepJob
from sweep.records import TrackingRun, TrialRecord
from sweep.search.queue import pending_trials
from sweep.search.study import SweepStudy
from sweep.signals import InterruptHandler
from sweep.tracking.runs import RunStatus
from sweep.tracking.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """Result of a sweep.

    Attributes:
        records: the last attempt of every trial.
        tracking_run: the location of its MLflow runs.
        ui_command: the command that shows these runs; for a tracking server its address.
        prepare_s: duration of the preparation in seconds, Ray's start included.
        trials_s: duration of the trials in seconds, over all sweeps that ran side by side.
    """

    records: list[TrialRecord]
    tracking_run: TrackingRun
    ui_command: str
    prepare_s: float
    trials_s: float


def run_sweeps(works: Sequence[SweepJob], interrupts: InterruptHandler) -> list[SweepResult]:
    """Run the remaining trials of the sweeps side by side; open their studies once everything is prepared.

    Args:
        works: the sweeps, at least one, all with the same cluster settings.
        interrupts: the handler that holds the signals.

    Returns:
        The result of each sweep, in the same order.

    Raises:
        ConfigError: the cluster cannot be reached or has no room for a trial, or `SweepJob.open_study` raised it.
        DataError: the preparation rejected the rows.
        Interrupted: a signal came; the finished trials are in the studies.
        BrokenOffError: the preparation failed.
    """
    began = time.monotonic()
    cluster = works[0].config.cluster
    with connect_ray(cluster) as room, watch_head(interrupts.abort_process), open_display(works) as shown:
        interrupts.install_handlers()
        if works[0].config.artifacts is None:
            shared_storage.check_storage(works[0].config.storage)
        print("sweep", ", ".join(work.name for work in works), flush=True)

        def beat() -> None:
            interrupts.raise_if_interrupted()
            shown.on_step()

        run_preparation(cluster, [maker for work in works for maker in work.preparers], shown, beat)
        ready = time.monotonic()
        with ExitStack() as stack:
            step = StepCallback(beat)
            studies = [stack.enter_context(work.open_study()) for work in works]
            trackers = [stack.enter_context(track_sweep(*pair)) for pair in zip(works, studies, strict=True)]
            searches = [build_search(*three, shown) for three in zip(works, studies, trackers, strict=True)]
            run_trials(
                cluster,
                [work.trial_fn for work in works],
                StudySearcher(searches, explain_failure=step.failure_reason),
                room,
                step,
            )
            records = [ledger.list_records() for ledger in studies]
    seconds = {"prepare_s": ready - began, "trials_s": time.monotonic() - ready}
    return [
        SweepResult(records=own, tracking_run=tracker.tracking_run, ui_command=tracker.ui_command, **seconds)
        for own, tracker in zip(records, trackers, strict=True)
    ]


def build_search(work: SweepJob, study: SweepStudy, tracker: Tracker, display: SweepsDisplay) -> Search:
    """Build the search of a sweep; the display and the tracker listen to its trials."""
    watcher = display.for_sweep(work.name)
    watcher.on_resume(study.list_records())
    tasks = pending_trials(work.config, work.paper, study)
    return Search(
        study=study,
        requests=tasks,
        watchers=[watcher, tracker],
        run_id_of=tracker.run_id_of,
        retries=work.config.cluster.retries,
        deadline=work.config.cluster.deadline,
    )


@contextmanager
def track_sweep(work: SweepJob, study: SweepStudy) -> Iterator[Tracker]:
    """Track a sweep in MLflow; however the block ends, close the open attempts and end the MLflow runs."""
    tracker = Tracker.start(work.config, work.name, study.run_id)
    study.save_run_id(study.run_id or "")
    status: RunStatus = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        try:
            study.fail_open_attempts()
        finally:  # also if the disk of the study is full
            if lacking := tracker.finish(status, study.list_all_attempts()):
                again = f"python -m sweep.sync {sweep_arguments(work.config.storage, work.name)}"
                print(f"{lacking}; to fill it in: {again}", file=sys.stderr)
            study.save_run_id(tracker.run_id)
