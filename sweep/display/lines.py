"""Plain lines for a pipe or a file: one for each stage and trial that has ended, and progress of what runs long."""

import time
from collections.abc import Sequence

from rich.console import Console

from sweep.display.state import SweepsState
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import StepProgress, TrialRecord, escape_unprintable, format_setting, now

LINE_INTERVAL_S = 30.0
"""Time between two printings of the progress of all that runs long, in seconds."""
MAX_PROGRESS_LINES = 4
"""Maximum number of lines of progress that are printed at once."""
FORECAST_SHARE = 0.02
"""Share of the elapsed time that passes between two lines with the time that is left, at least `LINE_INTERVAL_S`."""


class ProgressLines:
    """Printer of the latest progress of all that runs long, every half minute; a short sweep prints none."""

    def __init__(self, console: Console) -> None:
        """Print to the console."""
        self._console = console
        self._began: dict[str, float] = {}
        self._latest: dict[str, StepProgress] = {}
        self._last_printed = 0.0

    def update_line(self, title: str, progress: StepProgress) -> None:
        """Keep the progress until it is printed; say at once that work goes on from a checkpoint."""
        self._began.setdefault(title, time.monotonic())
        if progress.goes_on:
            _print_line(self._console, f"{title}: goes on at step {progress.done} of {progress.total}")
        if progress.pace:
            self._latest[title] = progress

    def end_line(self, title: str) -> None:
        """Forget what has ended."""
        self._began.pop(title, None)
        self._latest.pop(title, None)

    def print_due(self) -> None:
        """Print what has run for an interval, unless progress was printed less than an interval ago."""
        limit = time.monotonic() - LINE_INTERVAL_S
        due = [title for title in self._latest if self._began[title] <= limit]
        if not due or self._last_printed > limit:
            return
        self._last_printed = time.monotonic()
        for title in due[:MAX_PROGRESS_LINES]:
            _print_line(self._console, f"{title}: {self._latest[title]}")
        if more := len(due[MAX_PROGRESS_LINES:]):
            _print_line(self._console, f"and {more} more")
        self._latest.clear()


class TextDisplay:
    """Display that prints a line for each stage and trial that has ended, and progress where these run long."""

    def __init__(self, console: Console, plans: Sequence[SweepPlan]) -> None:
        """Print to the console; with several sweeps, begin each line with the sweep's name."""
        self._console = console
        self._state = SweepsState(plans)
        self._progress = ProgressLines(console)
        self._last_forecast = 0.0

    def for_sweep(self, name: str) -> "TextSweepView":
        """Return the lines of one sweep."""
        return TextSweepView(self._console, name, self._state, self._progress)

    def on_status(self, status: str) -> None:
        """Print what goes on."""
        _print_line(self._console, status)

    def on_slots(self, n_slots: int) -> None:
        """Say that trials begin, and tell the forecast how many run at once."""
        self._state.n_slots = n_slots
        self.on_status(f"running trials, {n_slots} at once")

    def on_prepared(self, stage: str, progress: StepProgress) -> None:
        """Print a line when a stage is done, and its progress while it runs long."""
        if progress.done == progress.total:
            self._progress.end_line(stage)
            _print_line(self._console, f"prepared {stage}")
        else:
            self._progress.update_line(stage, progress)

    def on_step(self) -> None:
        """Print the progress that is due, and now and then the time that is left."""
        self._progress.print_due()
        started, at = self._state.started, now()
        interval = max(LINE_INTERVAL_S, FORECAST_SHARE * (at - started))
        if started and at - max(started, self._last_forecast) >= interval:
            self._last_forecast = at
            self._state.refresh_forecast()
            _print_line(self._console, self._state.describe_progress())


class TextSweepView:
    """Display of one sweep that prints a line for each trial that has ended, and progress of trials that run long."""

    def __init__(self, console: Console, name: str, state: SweepsState, progress: ProgressLines) -> None:
        """Print to the console, and progress by `progress`; keep the trials of the sweep in `state`."""
        self._console = console
        self._name = name
        self._prefix = f"{name} " if len(state.plans) > 1 else ""
        self._state = state
        self._progress = progress

    def on_resume(self, records: Sequence[TrialRecord]) -> None:
        """Print how many trials are done; failed ones run again."""
        self._state.add_resumed(self._name, records)
        if over := sum(record.state != "failed" for record in records):
            _print_line(self._console, f"{self._prefix}resumed after {over} trials")

    def on_trial_update(self, record: TrialRecord) -> None:
        """Print the outcome of a trial once it has ended, and its progress while it runs long."""
        self._state.update_trial(self._name, record)
        trial = f"{self._prefix}{record.phase} {record.index}  {format_setting(record.setting)}".rstrip()
        if record.state == "running":
            self._progress.update_line(trial, record.progress or StepProgress(done=0, total=1))
            return
        self._progress.end_line(trial)
        result = f"score {record.score:.4f}" if record.state == "finished" else record.state
        why = f" ({record.reason})" if record.reason else ""
        _print_line(self._console, f"{trial}  {result}{why}  {record.ended - record.started:.1f} s")


def _print_line(console: Console, line: str) -> None:
    console.print(escape_unprintable(line), markup=False, highlight=False, soft_wrap=True)
