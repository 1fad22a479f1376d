"""The tracker: the driver's hand on MLflow, whose calls return at once and never raise."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from sweep.config.schema import SweepConfig
from sweep.records import Logged, Record
from sweep.tracking.runs import Runs, Status, attempt
from sweep.tracking.store import sentence, ui_command

GATHER = 0.3
"""Seconds for which news is gathered before it is logged: just after a trial's end its worker waits for the driver."""
PAUSE = 30.0
"""Seconds without a request after one that failed."""
PATIENCE = 120.0
"""Seconds that the end of a sweep waits for what is still to be logged."""
IMPATIENCE = 6.0
"""The same of a sweep that a user interrupts, who was promised an end within ten."""


class Tracker:
    """What the driver holds of MLflow: calls that return at once and never raise."""

    def __init__(self, runs: "Runs") -> None:
        """Start the thread that does the work."""
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
        """Open the sweep's parent run.

        Args:
            config: the sweep.
            name: its name.
            run_id: None for a new sweep; for a resumed one the parent that the ledger knows, or empty: the parent is
                then found by the sweep's folder, or made.
        """
        tracker = cls(Runs(config, name, run_id))
        tracker._wake.set()
        return tracker

    def note(self, record: Record) -> None:
        """Log what is new of a trial, soon; the newest record of it says all that was said before."""
        self._news[attempt(record)] = record
        self._wake.set()

    def finish(self, status: Status, records: Sequence[Record]) -> str:
        """Fill in the records that have no run yet, end the parent, and wait for it, as long as the status allows.

        Returns:
            Empty where MLflow holds everything, else one line that says what it lacks and why.
        """
        self._last = partial(self._runs.finish, status, tuple(records))
        self._wake.set()
        patience = IMPATIENCE if status == "KILLED" else PATIENCE
        self._thread.join(patience)
        error = f"no answer within {patience:.0f} s" if self._thread.is_alive() else self._error
        over, missing = sum(r.state != "running" for r in records), len(self._runs.missing(records))
        return f"MLflow at {self.logged.tracking_uri} lacks {missing} of {over} attempts: {error}" if error else ""

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
        """Log what is gathered; after a failure nothing for a while, because the last job fills it in."""
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
