"""Run sweeps: connect to Ray, prepare what the trials share, open the studies, tune, and collect the results."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eval.provenance import find_revision
from sweep.callbacks import SweepsDisplay
from sweep.cluster import shared_storage
from sweep.cluster.connection import connect_ray
from sweep.cluster.head_watch import watch_head
from sweep.cluster.preparation import run_preparation
from sweep.cluster.searcher import Search, StudySearcher
from sweep.cluster.tuner import StepCallback, run_trials
from sweep.config.stored import sweep_arguments
from sweep.display import open_display
from sweep.export.delivery import deliver_models
from sweep.plan.machine_check import find_narrowest_share
from sweep.plan.sweep_plan import SweepPlan
from sweep.prepare.preparers import Preparer
from sweep.records import TrackingRun, TrialRecord
from sweep.results.sweep_records import SweepRecords
from sweep.results.target_check import describe_target, refuse_ignorant_target, warn_of_weak_target
from sweep.search.queue import pending_trials, select_planned
from sweep.search.study import SweepStudy
from sweep.signals import CallerSignals, InterruptHandler
from sweep.tracking.runs import RunStatus
from sweep.tracking.tracker import PageLines, Tracker

if TYPE_CHECKING:
    from sweep.prepare.machine import MachineShare  # loads transformers


@dataclass(frozen=True, kw_only=True)
class SweepResult(SweepRecords):
    """A sweep that has ended.

    Attributes:
        tracking_run: the location of its MLflow runs.
        ui_lines: the lines that lead to these runs: the command that serves MLflow's pages, unless a server does, and
            the link.
        prepare_s: duration of the preparation in seconds, Ray's start included.
        trials_s: duration of the trials in seconds, over all sweeps that ran side by side.
    """

    tracking_run: TrackingRun
    ui_lines: Sequence[str]
    prepare_s: float
    trials_s: float


def run_sweeps(
    plans: Sequence[SweepPlan], preparers: Sequence[Preparer], interrupts: InterruptHandler | CallerSignals
) -> list[SweepResult]:
    """Run the remaining trials of the sweeps side by side; open their studies once everything is prepared.

    Args:
        plans: the sweeps, at least one, all with the same cluster settings.
        preparers: make the missing artifacts that the trials share; pickled and run on the workers.
        interrupts: the handler that holds the signals, or leaves them to the caller.

    Returns:
        The result of each sweep, in the same order.

    Raises:
        ConfigError: the cluster cannot be reached or has no room for a trial, nor has this machine's memory, a target
            does not know its rows, or `SweepPlan.open_study` raised it.
        DataError: the preparation rejected the rows.
        Interrupted: a signal came; the finished trials are in the studies.
        BrokenOffError: the preparation failed.
    """
    began, cluster, share = time.monotonic(), plans[0].config.cluster, find_narrowest_share(plans)
    if not preparers:  # what is known already needs no cluster
        check_targets(plans)
    with connect_ray(cluster) as n_slots, watch_head(interrupts.abort_process), open_display(plans) as display:
        interrupts.install_handlers()
        if plans[0].config.artifacts is None:
            shared_storage.check_storage(plans[0].config.storage)
        print("sweep", ", ".join(plan.name for plan in plans), flush=True)

        def on_step() -> None:
            interrupts.raise_if_interrupted()
            display.on_step()

        _prepare_targets(plans, preparers, display, on_step)
        ready = time.monotonic()
        trackers, records = _tune_sweeps(plans, limit_slots(n_slots, share), display, StepCallback(on_step))
        deliver_models(plans, records, display, on_step)
    seconds = {"prepare_s": ready - began, "trials_s": time.monotonic() - ready}
    return [
        SweepResult(
            name=plan.name,
            config=plan.config,
            records=own,
            tracking_run=tracker.tracking_run,
            ui_lines=tracker.ui_lines,
            **seconds,
        )
        for plan, own, tracker in zip(plans, records, trackers, strict=True)
    ]


def _prepare_targets(
    plans: Sequence[SweepPlan], preparers: Sequence[Preparer], display: SweepsDisplay, on_step: Callable[[], None]
) -> None:
    """Make what is missing, and print how well the targets know their rows."""
    if preparers:
        display.on_status("preparing")
        run_preparation(plans[0].config.cluster, preparers, display, on_step)
    print(*(f"{line}\n" for line in check_targets(plans)), sep="", end="", flush=True)


def limit_slots(n_slots: int, share: "MachineShare | None") -> int:
    """Return the number of trials to run at once, and print a line where memory allows fewer than `n_slots`."""
    if share is None or share.n_fitting >= n_slots:
        return n_slots
    print(f"warning: {share}", flush=True)
    return share.n_fitting


def check_targets(plans: Sequence[SweepPlan]) -> list[str]:
    """Return the lines that tell how well the sweeps' targets know their rows, once each; none before they are made.

    Raises:
        ConfigError: one does not know its rows.
    """
    lines: list[str] = []
    for plan in plans:
        metrics, base = plan.artifacts.reference_metrics, plan.artifacts.base_metrics
        refuse_ignorant_target(plan.config, metrics, base)
        warning = warn_of_weak_target(metrics)
        lines += [describe_target(metrics, base), f"warning: {warning}" if warning else ""]
    return list(dict.fromkeys(filter(None, lines)))


def _tune_sweeps(
    plans: Sequence[SweepPlan], n_slots: int, display: SweepsDisplay, step: StepCallback
) -> tuple[list[Tracker], list[list[TrialRecord]]]:
    """Open the studies and the MLflow runs, run the trials, and return each sweep's tracker and records."""
    display.on_slots(n_slots)
    with ExitStack() as stack:
        studies = [stack.enter_context(plan.open_study()) for plan in plans]
        trackers = [stack.enter_context(track_sweep(*pair)) for pair in zip(plans, studies, strict=True)]
        pages = PageLines(trackers)
        searches = [build_search(*three, display, pages) for three in zip(plans, studies, trackers, strict=True)]
        searcher = StudySearcher(searches, explain_failure=step.failure_reason)
        run_trials(plans[0].config.cluster, [plan.trial_fn for plan in plans], searcher, n_slots, step)
        for plan in plans:  # of trials that were stopped early, or failed
            shutil.rmtree(plan.checkpoints_folder, ignore_errors=True)
        return trackers, [study.list_records() for study in studies]


def build_search(
    plan: SweepPlan, study: SweepStudy, tracker: Tracker, display: SweepsDisplay, pages: PageLines
) -> Search:
    """Build the search of a sweep; display, tracker and pages listen to its trials."""
    view = display.for_sweep(plan.name)
    view.on_resume(select_planned(plan.config, plan.paper, study.list_records()))
    requests = pending_trials(plan.config, plan.paper, study)
    return Search(
        study=study,
        requests=requests,
        listeners=[view, tracker, pages],
        run_id_of=tracker.run_id_of,
        retries=plan.config.cluster.retries,
        deadline=plan.config.cluster.deadline,
    )


@contextmanager
def track_sweep(plan: SweepPlan, study: SweepStudy) -> Iterator[Tracker]:
    """Track a sweep in MLflow; however the block ends, close the open attempts and end the MLflow runs."""
    tracker = Tracker.start(plan.config, plan.name, study.run_id, study.list_all_attempts())
    study.save_run_id(study.run_id or "")
    study.add_revision(find_revision())
    status: RunStatus = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:  # Interrupted, or Ctrl-C in the program that called `run_sweep`
        status = "KILLED"
        raise
    finally:
        try:
            study.fail_open_attempts()
        finally:  # also if the disk of the study is full
            if missing := tracker.finish(status, study.list_all_attempts()):
                again = f"python -m sweep.sync {sweep_arguments(plan.config.storage, plan.name)}"
                print(f"{missing}; to fill it in: {again}", file=sys.stderr)
            study.save_run_id(tracker.run_id)
