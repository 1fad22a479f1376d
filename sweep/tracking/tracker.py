"""Tracker of a sweep: logs to MLflow in a background thread, so that calls return at once and never raise."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from sweep.config.schema import SweepConfig
from sweep.records import Logged, Record
from sweep.tracking.runs import Runs, Status, attempt
from sweep.tracking.store import sentence, ui_command

GATHER = 0.3
"""Delay in seconds before updates are logged: just after a trial's end, its worker waits for the driver."""
PAUSE = 30.0
"""Pause in seconds after a failed request."""
PATIENCE = 120.0
"""Time in seconds that the end of a sweep waits for the remaining logging."""
IMPATIENCE = 6.0
"""The same for an interrupted sweep: the user was promised an end within ten seconds."""


class Tracker:
    """TrialListener that logs one sweep to MLflow in a background thread; its calls never raise."""

    def __init__(self, runs: "Runs") -> None:
        """Start the background thread."""
        self._runs = runs
        self._news: dict[str, Record] = {}
        self._last: Callable[[], object] | None = None
        self._wake = threading.Event()
        self._error = ""
        self._paused_until = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, config: SweepConfig, name: str, run_id: str | None = None) -> "Tracker":
        """Start a tracker, whose thread opens the sweep's parent run.

        Args:
            config: the configuration of the sweep.
            name: the sweep's name.
            run_id: None for a new sweep; for a resumed one the parent run that the study knows. If that is empty, the
                parent is found by the sweep's folder, or created.
        """
        tracker = cls(Runs(config, name, run_id))
        tracker._wake.set()
        return tracker

    def note(self, record: Record) -> None:
        """Queue the record for logging; it replaces an older record of the same attempt, which it contains."""
        self._news[attempt(record)] = record
        self._wake.set()

    def finish(self, status: Status, records: Sequence[Record]) -> str:
        """Log the missing attempts, end the parent run, and wait for both; a KILLED sweep waits less.

        Args:
            status: the final status of the parent run.
            records: every attempt at the sweep's trials.

        Returns:
            An empty text if MLflow holds everything, else one line with the number of missing attempts and the reason.
        """
        self._last = partial(self._runs.finish, status, tuple(records))
        self._wake.set()
        patience = IMPATIENCE if status == "KILLED" else PATIENCE
        self._thread.join(patience)
        error = f"no answer within {patience:.0f} s" if self._thread.is_alive() else self._error
        over, missing = sum(r.state != "running" for r in records), len(self._runs.missing(records))
        return f"MLflow at {self.logged.tracking_uri} lacks {missing} of {over} attempts: {error}" if error else ""

    def run_id_of(self, record: Record) -> str:
        """Return the MLflow run id of the attempt, empty while it has no run."""
        return self._runs.attempts.get(attempt(record), "")

    @property
    def run_id(self) -> str:
        """The MLflow run id of the parent, empty while it has no run."""
        return self._runs.run_id

    @property
    def logged(self) -> Logged:
        """The location of the sweep's runs, without a password."""
        return self._runs.logged

    @property
    def ui_command(self) -> str:
        """The command that shows the runs; for a server its address."""
        return ui_command(self._runs.uri)

    def _work(self) -> None:
        """Log queued records until `finish` is called; after a failure pause, as the final job logs what is missing."""
        while self._last is None:
            self._wake.wait()
            time.sleep(GATHER)
            self._wake.clear()
            if time.monotonic() >= self._paused_until:
                self._try(self._log)
        self._try(self._last)

    def _log(self) -> None:
        self._runs.describe()
        while self._news:
            self._runs.log(self._news.pop(next(iter(self._news))))

    def _try(self, job: Callable[[], object]) -> None:
        try:
            job()
            self._error = ""
        except Exception as error:
            self._error = sentence(error)
            self._paused_until = time.monotonic() + PAUSE
