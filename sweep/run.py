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


def run_sweeps(jobs: Sequence[SweepJob], interrupts: InterruptHandler) -> list[SweepResult]:
    """Run the remaining trials of the sweeps side by side; open their studies once everything is prepared.

    Args:
        jobs: the sweeps, at least one, all with the same cluster settings.
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
    cluster = jobs[0].config.cluster
    with connect_ray(cluster) as n_slots, watch_head(interrupts.abort_process), open_display(jobs) as display:
        interrupts.install_handlers()
        if jobs[0].config.artifacts is None:
            shared_storage.check_storage(jobs[0].config.storage)
        print("sweep", ", ".join(job.name for job in jobs), flush=True)

        def on_step() -> None:
            interrupts.raise_if_interrupted()
            display.on_step()

        run_preparation(cluster, [preparer for job in jobs for preparer in job.preparers], display, on_step)
        ready = time.monotonic()
        with ExitStack() as stack:
            step = StepCallback(on_step)
            studies = [stack.enter_context(job.open_study()) for job in jobs]
            trackers = [stack.enter_context(track_sweep(*pair)) for pair in zip(jobs, studies, strict=True)]
            searches = [build_search(*three, display) for three in zip(jobs, studies, trackers, strict=True)]
            run_trials(
                cluster,
                [job.trial_fn for job in jobs],
                StudySearcher(searches, explain_failure=step.failure_reason),
                n_slots,
                step,
            )
            records = [study.list_records() for study in studies]
    seconds = {"prepare_s": ready - began, "trials_s": time.monotonic() - ready}
    return [
        SweepResult(records=own, tracking_run=tracker.tracking_run, ui_command=tracker.ui_command, **seconds)
        for own, tracker in zip(records, trackers, strict=True)
    ]


def build_search(job: SweepJob, study: SweepStudy, tracker: Tracker, display: SweepsDisplay) -> Search:
    """Build the search of a sweep; the display and the tracker listen to its trials."""
    view = display.for_sweep(job.name)
    view.on_resume(study.list_records())
    requests = pending_trials(job.config, job.paper, study)
    return Search(
        study=study,
        requests=requests,
        listeners=[view, tracker],
        run_id_of=tracker.run_id_of,
        retries=job.config.cluster.retries,
        deadline=job.config.cluster.deadline,
    )


@contextmanager
def track_sweep(job: SweepJob, study: SweepStudy) -> Iterator[Tracker]:
    """Track a sweep in MLflow; however the block ends, close the open attempts and end the MLflow runs."""
    tracker = Tracker.start(job.config, job.name, study.run_id)
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
            if missing := tracker.finish(status, study.list_all_attempts()):
                again = f"python -m sweep.sync {sweep_arguments(job.config.storage, job.name)}"
                print(f"{missing}; to fill it in: {again}", file=sys.stderr)
            study.save_run_id(tracker.run_id)
