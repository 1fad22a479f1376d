"""Tracker of a sweep: logs to MLflow in a background thread, so that calls return at once and never raise."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from sweep.config.schema import SweepConfig
from sweep.records import TrackingRun, TrialRecord
from sweep.services.waiting import tell_wait
from sweep.tracking.labels import format_attempt_key
from sweep.tracking.runs import RunStatus, SweepRuns
from sweep.tracking.store import summarize_error
from sweep.tracking.views import print_ui_lines

GATHER_INTERVAL_S = 0.3
"""Delay in seconds before updates are logged: just after a trial's end, its worker waits for the driver."""
RETRY_INTERVAL_S = 30.0
"""Pause in seconds after a failed request."""
FINISH_TIMEOUT_S = 120.0
"""Time in seconds that the end of a sweep waits for the remaining logging."""
INTERRUPT_TIMEOUT_S = 6.0
"""The same for an interrupted sweep: the user was promised an end within ten seconds."""


class Tracker:
    """TrialListener that logs one sweep to MLflow in a background thread; its calls never raise."""

    def __init__(self, runs: "SweepRuns") -> None:
        """Start the background thread."""
        self._runs = runs
        self._pending_records: dict[str, TrialRecord] = {}
        self._final_job: Callable[[], object] | None = None
        self._wake = threading.Event()
        self._last_error = ""
        self._paused_until = 0.0
        self._thread = threading.Thread(target=self._log_until_finished, name="mlflow", daemon=True)
        self._thread.start()

    @classmethod
    def start(
        cls, config: SweepConfig, name: str, run_id: str | None = None, records: Sequence[TrialRecord] = ()
    ) -> "Tracker":
        """Start a tracker, whose thread opens the sweep's parent run.

        Args:
            config: the configuration of the sweep.
            name: the sweep's name.
            run_id: None for a new sweep; for a resumed one the parent run that the study knows. If that is empty, the
                parent is found by the sweep's folder, or created.
            records: every attempt at the sweep's trials so far.
        """
        tracker = cls(SweepRuns(config, name, run_id, records))
        tracker._wake.set()
        return tracker

    def on_trial_update(self, record: TrialRecord) -> None:
        """Queue the record for logging; it replaces an older record of the same attempt, which it contains.

        Progress within an epoch is not logged.
        """
        if record.progress:
            return
        self._pending_records[format_attempt_key(record)] = record
        self._wake.set()

    def finish(self, status: RunStatus, records: Sequence[TrialRecord]) -> str:
        """Log the missing attempts, end the parent run, and wait for both; a KILLED sweep waits less.

        Args:
            status: the final status of the parent run.
            records: every attempt at the sweep's trials.

        Returns:
            An empty text if MLflow holds everything, else one line with the number of missing attempts and the reason.
        """
        self._final_job = partial(self._runs.finish, status, tuple(records))
        self._wake.set()
        patience = INTERRUPT_TIMEOUT_S if status == "KILLED" else FINISH_TIMEOUT_S
        with tell_wait(f"MLflow at {self.tracking_run.tracking_uri}, at most {patience:.0f} s"):
            self._thread.join(patience)
        error = f"no answer within {patience:.0f} s" if self._thread.is_alive() else self._last_error
        over, missing = sum(r.state != "running" for r in records), len(self._runs.find_missing(records))
        return (
            f"MLflow at {self.tracking_run.tracking_uri} lacks {missing} of {over} attempts: {error}" if error else ""
        )

    def run_id_of(self, record: TrialRecord) -> str:
        """Return the MLflow run id of the attempt, empty while it has no run."""
        return self._runs.run_ids.get(format_attempt_key(record), "")

    @property
    def run_id(self) -> str:
        """The MLflow run id of the parent, empty while it has no run."""
        return self._runs.run_id

    @property
    def tracking_run(self) -> TrackingRun:
        """The location of the sweep's runs, without a password."""
        return self._runs.tracking_run

    @property
    def is_open(self) -> bool:
        """True once the parent run is there."""
        return self._runs.is_open

    @property
    def ui_lines(self) -> list[str]:
        """The lines that lead to the runs: for a database the command that serves its pages, then the link."""
        return self._runs.ui_lines

    def _log_until_finished(self) -> None:
        """Log queued records until `finish` is called; after a failure pause, as the final job logs what is missing."""
        while self._final_job is None:
            self._wake.wait()
            time.sleep(GATHER_INTERVAL_S)
            self._wake.clear()
            if time.monotonic() >= self._paused_until:
                self._run_job(self._log_pending)
        self._run_job(self._final_job)

    def _log_pending(self) -> None:
        self._runs.log_config()
        while self._pending_records:
            self._runs.log_attempt(self._pending_records.pop(next(iter(self._pending_records))))

    def _run_job(self, job: Callable[[], object]) -> None:
        try:
            job()
            self._last_error = ""
        except Exception as error:
            self._last_error = summarize_error(error)
            self._paused_until = time.monotonic() + RETRY_INTERVAL_S


class PageLines:
    """TrialListener that prints where the runs of all sweeps are to be seen, once, as soon as they are there."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Wait for the runs of these trackers; the caller's thread prints, as it prints all else."""
        self._trackers = trackers
        self._is_printed = False

    def on_trial_update(self, record: TrialRecord) -> None:
        """Print the lines unless a run is missing, or it was done."""
        if not self._is_printed and all(tracker.is_open for tracker in self._trackers):
            self._is_printed = True
            print_ui_lines([tracker.ui_lines for tracker in self._trackers])
