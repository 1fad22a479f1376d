"""Run sweeps: connect to Ray, prepare what the trials share, open the studies, tune, and collect the results."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sweep.callbacks import View
from sweep.cluster import shared_storage
from sweep.cluster.connection import connected
from sweep.cluster.head_watch import watched
from sweep.cluster.preparation import prepare
from sweep.cluster.searcher import Search, StudySearcher
from sweep.cluster.tuner import Beat, fit
from sweep.config.stored import where
from sweep.display import view
from sweep.errors import Interrupted
from sweep.plan.job import Work
from sweep.records import Logged, Record
from sweep.search.queue import agenda
from sweep.search.study import Ledger
from sweep.signals import Interrupts
from sweep.tracking.runs import Status
from sweep.tracking.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class Ran:
    """Result of a sweep.

    Attributes:
        records: the last attempt of every trial.
        tracking_run: the location of its MLflow runs.
        ui_command: the command that shows these runs; for a tracking server its address.
        prepare_s: duration of the preparation in seconds, Ray's start included.
        trials_s: duration of the trials in seconds, over all sweeps that ran side by side.
    """

    records: list[Record]
    logged: Logged
    ui_command: str
    prepare_s: float
    trials_s: float


def run(works: Sequence[Work], interrupts: Interrupts) -> list[Ran]:
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
    with connected(cluster) as room, watched(interrupts.end), view(works) as shown:
        interrupts.arm()
        if works[0].config.artifacts is None:
            shared_storage.check(works[0].config.storage)
        print("sweep", ", ".join(work.name for work in works), flush=True)

        def beat() -> None:
            interrupts.check()
            shown.tick()

        prepare(cluster, [maker for work in works for maker in work.makers], shown, beat)
        ready = time.monotonic()
        with ExitStack() as stack:
            step = Beat(beat)
            ledgers = [stack.enter_context(work.held()) for work in works]
            trackers = [stack.enter_context(tracked(*pair)) for pair in zip(works, ledgers, strict=True)]
            searches = [searched(*three, shown) for three in zip(works, ledgers, trackers, strict=True)]
            fit(cluster, [work.trial for work in works], StudySearcher(searches, why=step.why), room, step)
            records = [ledger.records() for ledger in ledgers]
    seconds = {"prepare_s": ready - began, "trials_s": time.monotonic() - ready}
    return [
        Ran(records=own, logged=tracker.logged, ui_command=tracker.ui_command, **seconds)
        for own, tracker in zip(records, trackers, strict=True)
    ]


def searched(work: Work, ledger: Ledger, tracker: Tracker, shown: View) -> Search:
    """Build the search of a sweep; the display and the tracker listen to its trials."""
    watcher = shown.of(work.name)
    watcher.keep(ledger.records())
    tasks = agenda(work.config, work.paper, ledger)
    return Search(
        ledger=ledger,
        tasks=tasks,
        watchers=[watcher, tracker],
        run_id_of=tracker.run_id_of,
        retries=work.config.cluster.retries,
        deadline=work.config.cluster.deadline,
    )


@contextmanager
def tracked(work: Work, ledger: Ledger) -> Iterator[Tracker]:
    """Track a sweep in MLflow; however the block ends, close the open attempts and end the MLflow runs."""
    tracker = Tracker.start(work.config, work.name, ledger.run_id)
    ledger.keep_run_id(ledger.run_id or "")
    status: Status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        try:
            ledger.interrupt()
        finally:  # also if the disk of the study is full
            if lacking := tracker.finish(status, ledger.history()):
                again = f"python -m sweep.sync {where(work.config.storage, work.name)}"
                print(f"{lacking}; to fill it in: {again}", file=sys.stderr)
            ledger.keep_run_id(tracker.run_id)
