"""The tracker: the driver's hand on MLflow, whose calls return at once and never raise."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue

from sweep.config import SweepConfig
from sweep.record import Logged, Record
from sweep.tracking.runs import Runs, Status, attempt
from sweep.tracking.store import sentence, ui_command

PAUSE = 30.0
"""Seconds without a request after one that failed."""
PATIENCE = 120.0
"""Seconds that the end of a sweep waits for what is still to be logged."""


class Tracker:
    """What the driver holds of MLflow: calls that return at once and never raise."""

    def __init__(self, runs: "Runs") -> None:
        """Start the thread that does the work."""
        self._runs = runs
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._last: Callable[[], object] = runs.open
        self._error = ""
        self._paused_until = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    @classmethod
    def start(cls, config: SweepConfig, name: str, run_id: str | None = None) -> "Tracker":
        """Open the sweep's parent run.

        Args:
            config: the sweep.
            name: its name.
            run_id: None for a new sweep; for a resumed one the parent that the ledger knows, or empty: the parent is
                then found by the sweep's folder, or made.
        """
        tracker = cls(Runs(config, name, run_id))
        tracker._jobs.put(tracker._runs.describe)
        return tracker

    def trial_started(self, record: Record) -> None:
        """Open the trial's run."""
        self._jobs.put(partial(self._runs.begin, record))

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """Log a point of the trial's curve; its `epoch` is the step."""
        self._jobs.put(partial(self._runs.point, record, dict(point)))

    def trial_ended(self, record: Record) -> None:
        """Log the final metrics and end the trial's run."""
        self._jobs.put(partial(self._runs.end, record))

    def finish(self, status: Status, records: Sequence[Record]) -> str:
        """Fill in the records that have no run yet, end the parent, and wait for it, no longer than `PATIENCE`.

        Returns:
            Empty where MLflow holds everything, else one line that says what it lacks and why.
        """
        self._last = partial(self._runs.finish, status, tuple(records))
        self._jobs.put(None)
        self._thread.join(PATIENCE)
        error = f"no answer within {PATIENCE:.0f} s" if self._thread.is_alive() else self._error
        over, missing = sum(r.state != "running" for r in records), len(self._runs.missing(records))
        return f"MLflow at {self.logged.tracking_uri} lacks {missing} of {over} trials: {error}" if error else ""

    def run_id_of(self, record: Record) -> str:
        """The trial's MLflow run, empty while there is none."""
        return self._runs.attempts.get(attempt(record), "")

    @property
    def run_id(self) -> str:
        """The parent's MLflow run, empty while there is none."""
        return self._runs.run_id

    @property
    def logged(self) -> Logged:
        """Where the sweep's runs are, without a password."""
        return self._runs.logged

    @property
    def ui_command(self) -> str:
        """The command that shows the runs; for a server its address."""
        return ui_command(self._runs.uri)

    def _work(self) -> None:
        """Do the jobs in order; after a failure none for a while, because the last one fills them in."""
        for job in iter(self._jobs.get, None):
            if time.monotonic() >= self._paused_until:
                self._try(job)
        self._try(self._last)

    def _try(self, job: Callable[[], object]) -> None:
        try:
            job()
            self._error = ""
        except Exception as error:
            self._error = sentence(error)
            self._paused_until = time.monotonic() + PAUSE
