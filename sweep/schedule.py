"""The schedule of sweeps: Ray prepares what their trials share, then runs them on warm workers."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Ray reads these when it is imported, or when a process of its starts.
os.environ |= {
    "RAY_AIR_NEW_OUTPUT": "0",  # no tables of Tune's own
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed",  # the attempt's reason says it in one line
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "120",  # its own 30 are not enough where other work keeps the machine busy
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # the ledger is the state; snapshots would only cost time
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}

import ray
from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution import class_cache, tune_controller

from sweep import deaths, nodes
from sweep.agenda import agenda
from sweep.config import ClusterConfig, ConfigError
from sweep.interrupts import BrokenOffError, Interrupted, Interrupts, closing_waits
from sweep.ledger import Ledger
from sweep.plan import where
from sweep.preparation import prepare
from sweep.processes import run_together
from sweep.progress import View, view
from sweep.pulse import knock, watched
from sweep.record import Logged, Record
from sweep.redaction import line
from sweep.room import bundles, no_room, room_for
from sweep.search import Search, StudySearcher
from sweep.tracking.runs import Status
from sweep.tracking.tracker import Tracker
from sweep.trial import Run, Work, trainable

# Tune would pass these on in descriptions of workers, which Ray shows and logs; nodes have credentials of their own.
class_cache.ENV_VARS_TO_PROPAGATE -= {name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS_")}

STORE = 256 * 2**20
"""Bytes of Ray's object store on this machine: models pass through files, not through Ray."""


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


class Actors(RayActorManager):
    """Tune's workers, of which one that Ray ends because its node runs out of memory has died as others do.

    Tune itself breaks off over what is neither an error of the trial nor a RayActorError.
    """

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        known = not isinstance(exception, RayError) or isinstance(exception, RayActorError | RayTaskError)
        died = exception if known else RayActorError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, died)


vars(tune_controller)["RayActorManager"] = Actors


class Beat(tune.Callback):
    """Calls a function after every step of Tune, about ten times a second or more, and knows why a trial broke."""

    def __init__(self, beat: Callable[[], None]) -> None:
        """Call `beat`."""
        self._beat = beat
        self._trials: list[Any] = []

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """A step begins."""
        self._trials = trials

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """A step is over."""
        self._beat()

    def why(self, trial_id: str) -> str:
        """What Ray says of a trial whose process died, in one line."""
        broken = next(trial for trial in self._trials if trial.trial_id == trial_id)
        file = broken.error_file  # Tune's own accessor looks where it is copied to, later
        said = Path(file).read_text(encoding="utf-8").partition("\n")[2] if file else "without a word"
        return deaths.why(said, deaths.stack_of(broken.local_path))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore of its own, which this sweep never uses."""
        return {}


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
            nodes.check(works[0].config.storage)
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
def connected(cluster: ClusterConfig) -> Iterator[int]:
    """Start Ray on this machine, or join it where there is an address; gives how many trials run at once.

    Raises:
        ConfigError: there is no Ray at the address, or this machine has no room for a trial.
        Interrupted: SIGTERM came meanwhile.
    """
    address = cluster.address or os.environ.get("RAY_ADDRESS", "local")
    local: dict[str, Any] = {"object_store_memory": STORE, "include_dashboard": False} if address == "local" else {}
    try:
        knock(address)
        with closing_waits():
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **local)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise ConfigError(f"cluster.address = {address!r}: no Ray answers there ({why}).") from None
    except Exception as error:  # Ray's own, of many kinds: a slow machine, a full disk
        raise BrokenOffError(f"Ray did not start: {line(str(error))}") from None
    except SystemExit:  # Ray's own answer to the signal
        raise Interrupted(signal.SIGTERM) from None
    try:
        room = room_for(cluster)
        if room == 0 and address == "local":
            raise ConfigError(no_room(cluster))
        # A cluster that grows on demand may have no node yet.
        yield cluster.concurrency or max(room, 1)
    finally:
        ray.shutdown()


def fit(cluster: ClusterConfig, trials: Sequence[Run], searcher: StudySearcher, at_once: int, step: Beat) -> None:
    """Run what the searcher hands out, `at_once` trials at a time; `trials` has a function for each sweep."""
    runs = [trial if cluster.processes == 1 else partial(run_together, cluster.deadline, trial) for trial in trials]
    place = tune.PlacementGroupFactory(bundles(cluster), strategy="STRICT_PACK")
    # Where a sweep is interrupted its workers may still write there.
    with TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True) as scratch:
        tune.Tuner(
            tune.with_resources(trainable(runs, cluster.deadline), place),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=str,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[step],
                stop=searcher.stops,
                verbose=0,
            ),
        ).fit()


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
