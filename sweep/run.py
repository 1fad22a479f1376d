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
    """What came of a sweep.

    Attributes:
        records: the last attempt of every trial.
        logged: where its MLflow runs are.
        ui_command: the command that shows them.
        prepare_s: seconds of the preparation, Ray's start included.
        trials_s: seconds of the trials, of all sweeps that ran side by side.
    """

    records: list[Record]
    logged: Logged
    ui_command: str
    prepare_s: float
    trials_s: float


def run(works: Sequence[Work], interrupts: Interrupts) -> list[Ran]:
    """Run what is left of the sweeps, side by side; their ledgers are made or opened once everything is prepared.

    Args:
        works: the sweeps, at least one, all of one cluster.
        interrupts: has the signals.

    Raises:
        ConfigError: the cluster is not there or has no room for a trial, or a work's `held` raised it.
        DataError: the preparation refused the rows.
        Interrupted: a signal came; what was finished is in the ledgers.
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
    """A sweep's search, watched by the table and the tracking."""
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
    """Log to MLflow; however the sweep ends, its runs end too, and its open attempts with them."""
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
        finally:  # also where the ledger's disk is full
            if lacking := tracker.finish(status, ledger.history()):
                again = f"python -m sweep.sync {where(work.config.storage, work.name)}"
                print(f"{lacking}; to fill it in: {again}", file=sys.stderr)
            ledger.keep_run_id(tracker.run_id)
