"""Display of running sweeps: progress bars and a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from sweep.callbacks import SweepsDisplay
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Phase, StepProgress, TrialRecord, escape_unprintable, format_setting, format_value
from sweep.search.queue import count_planned_trials

REDRAW_INTERVAL_S = 0.25
"""Minimum time between two drawings of the table in seconds."""
LINE_INTERVAL_S = 30.0
"""Time between two printings of the progress of all that runs long, in seconds."""
MAX_PROGRESS_LINES = 4
"""Maximum number of lines of progress that are printed at once."""
MAX_TABLE_ROWS = 12
"""Maximum number of trials in the live table: first the running ones, then the most recent."""


@contextmanager
def open_display(plans: Sequence[SweepPlan]) -> Iterator[SweepsDisplay]:
    """Open the display of the sweeps: a live table on a terminal, else lines."""
    console = Console()
    if not console.is_terminal:
        yield TextDisplay(console, several=len(plans) > 1)
        return
    board = Board(plans)
    with Live(console=console, auto_refresh=False) as live:
        yield LiveDisplay(board, live)
        live.update(board.render(), refresh=True)


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

    def __init__(self, console: Console, *, several: bool) -> None:
        """Print to the console; with several sweeps, begin each line with the sweep's name."""
        self._console = console
        self._has_several_sweeps = several
        self._progress = ProgressLines(console)

    def for_sweep(self, name: str) -> "TextSweepView":
        """Return the lines of one sweep."""
        return TextSweepView(self._console, f"{name} " if self._has_several_sweeps else "", self._progress)

    def on_prepared(self, stage: str, progress: StepProgress) -> None:
        """Print a line when a stage is done, and its progress while it runs long."""
        if progress.done == progress.total:
            self._progress.end_line(stage)
            _print_line(self._console, f"prepared {stage}")
        else:
            self._progress.update_line(stage, progress)

    def on_step(self) -> None:
        """Print the progress that is due."""
        self._progress.print_due()


class TextSweepView:
    """Display of one sweep that prints a line for each trial that has ended, and progress of trials that run long."""

    def __init__(self, console: Console, front: str, progress: ProgressLines) -> None:
        """Print to the console, and progress by `progress`; begin each line with `front`."""
        self._console = console
        self._prefix = front
        self._progress = progress

    def on_resume(self, records: Sequence[TrialRecord]) -> None:
        """Print how many trials are done; failed ones run again."""
        if over := sum(record.state != "failed" for record in records):
            _print_line(self._console, f"{self._prefix}resumed after {over} trials")

    def on_trial_update(self, record: TrialRecord) -> None:
        """Print the outcome of a trial once it has ended, and its progress while it runs long."""
        trial = f"{self._prefix}{record.phase} {record.index}  {format_setting(record.setting)}"
        if record.state == "running":
            self._progress.update_line(trial, record.progress or StepProgress(done=0, total=1))
            return
        self._progress.end_line(trial)
        result = f"score {record.score:.4f}" if record.state == "finished" else record.state
        why = f" ({record.reason})" if record.reason else ""
        _print_line(self._console, f"{trial}  {result}{why}  {record.ended - record.started:.1f} s")


def _print_line(console: Console, line: str) -> None:
    console.print(escape_unprintable(line), markup=False, highlight=False, soft_wrap=True)


class LiveDisplay:
    """Display that redraws a board a few times a second."""

    def __init__(self, board: "Board", live: Live) -> None:
        """Draw the board into the live display."""
        self._board = board
        self._live = live
        self._last_drawn = 0.0

    def for_sweep(self, name: str) -> "LiveSweepView":
        """Return the view that puts a sweep's trials on the board."""
        return LiveSweepView(self._board, name)

    def on_prepared(self, stage: str, progress: StepProgress) -> None:
        """Update the bar of the stage, and draw."""
        self._board.update_stage(stage, progress)
        self.on_step()

    def on_step(self) -> None:
        """Draw the board, unless that was done less than a redraw interval ago."""
        if time.monotonic() - self._last_drawn >= REDRAW_INTERVAL_S:
            self._last_drawn = time.monotonic()
            self._live.update(self._board.render(), refresh=True)


class LiveSweepView:
    """Display of one sweep on a board."""

    def __init__(self, board: "Board", name: str) -> None:
        """Put the trials on the board under the sweep's name."""
        self._board = board
        self._name = name

    def on_resume(self, records: Sequence[TrialRecord]) -> None:
        """Show the trials that are done."""
        self._board.add_resumed(self._name, records)

    def on_trial_update(self, record: TrialRecord) -> None:
        """Show the current state of the trial."""
        self._board.update_trial(self._name, record)


class Board:
    """State of all sweeps, rendered by rich as progress bars, a header and a table of trials."""

    def __init__(self, plans: Sequence[SweepPlan]) -> None:
        """Start without trials; the header counts towards the trials that the sweeps plan."""
        self._configs = {plan.name: plan.config for plan in plans}
        self._n_planned = _sum_or_none([count_planned_trials(plan.config, plan.paper) for plan in plans])
        self._records: dict[tuple[str, Phase, int], TrialRecord] = {}
        self._n_resumed = 0
        self._started = 0.0
        title, pace = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
        self._bars = Bars(title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), pace)
        self._stage_bars: dict[str, TaskID] = {}

    def update_stage(self, stage: str, progress: StepProgress) -> None:
        """Update the bar of a preparation stage; add the bar at its first progress."""
        if stage not in self._stage_bars:
            self._stage_bars[stage] = self._bars.add_task(f"preparing the {stage}", pace="")
        bar, is_done = self._stage_bars[stage], progress.done == progress.total
        self._bars.update(bar, completed=progress.done, total=progress.total)
        if progress.pace or is_done:
            self._bars.update(bar, pace="" if is_done else str(progress.pace))

    def add_resumed(self, name: str, records: Sequence[TrialRecord]) -> None:
        """Add the trials that were done before the sweep was resumed; skip failed ones, which run again."""
        over = {(name, record.phase, record.index): record for record in records if record.state != "failed"}
        self._records |= over
        self._n_resumed += len(over)

    def update_trial(self, name: str, record: TrialRecord) -> None:
        """Add the trial or replace its record; the first call starts the clock of the header."""
        self._started = self._started or time.monotonic()
        self._records[name, record.phase, record.index] = record

    def render(self) -> RenderableType:
        """Return the bars of the preparation, and below them the trials once the first has started."""
        return (
            Group(self._bars, self._render_header(), *self._render_bests(), self._render_table())
            if self._started
            else self._bars
        )

    def _find_best(self, name: str) -> TrialRecord | None:
        own = [record for (sweep, phase, _), record in self._records.items() if (sweep, phase) == (name, "search")]
        finished = [record for record in own if record.state == "finished"]
        return min(finished, key=lambda r: (r.score, r.index), default=None)

    def _render_header(self) -> Text:
        over = sum(record.state != "running" for record in self._records.values())
        elapsed = time.monotonic() - self._started
        parts = [f"{over} trials" if self._n_planned is None else f"{over}/{self._n_planned} trials"]
        parts.append(f"{_format_duration(elapsed)} elapsed")
        if self._n_planned is not None and over > self._n_resumed:
            parts.append(
                f"about {_format_duration(elapsed * (self._n_planned - over) / (over - self._n_resumed))} left"
            )
        return Text("  ".join(parts), style="bold")

    def _render_bests(self) -> list[Text]:
        """Return a line with the best trial of each sweep that has one."""
        bests = {name: best for name in self._configs if (best := self._find_best(name))}
        return [
            Text(
                escape_unprintable(
                    f"{name}  best score {best.score:.4f}  trial {best.index}  {self._format_searched(name, best)}"
                )
            )
            for name, best in bests.items()
        ]

    def _render_table(self) -> Table:
        sweep = ["sweep"] if len(self._configs) > 1 else []
        table = Table("", *sweep, "trial", "setting", "epoch", "forget ES", "retain ES", "score", "state", box=None)
        bests = [self._find_best(name) for name in self._configs]
        for name, record in self._select_trials():
            mark, style = ("*", "green") if any(record is best for best in bests) else ("", None)
            table.add_row(
                mark, *(Text(escape_unprintable(cell)) for cell in self._format_cells(name, record)), style=style
            )
        return table

    def _select_trials(self) -> list[tuple[str, TrialRecord]]:
        """Return the running and the most recently ended trials, in the order in which they were added."""
        order = [(name, record) for (name, _, _), record in self._records.items()]
        recent = sorted(order, key=lambda one: (one[1].state == "running", one[1].ended), reverse=True)[:MAX_TABLE_ROWS]
        return [one for one in order if one in recent]

    def _format_cells(self, name: str, record: TrialRecord) -> list[str]:
        point = record.metrics or (record.curve[-1] if record.curve else {})
        epochs = record.setting.get("train.epochs", self._configs[name].train.epochs)
        done = int(record.curve[-1]["epoch"]) if record.curve else 0
        return [
            *([name] if len(self._configs) > 1 else []),
            f"{'' if record.phase == 'search' else f'{record.phase} '}{record.index}",
            self._format_searched(name, record),
            f"{done}/{epochs}",
            *(format_value(point.get(key, "")) for key in ("forget/es", "retain/es", "score")),
            ": ".join([record.state, *filter(None, [str(record.progress or ""), record.reason])]),
        ]

    def _format_searched(self, name: str, record: TrialRecord) -> str:
        """Format the searched part of the trial's setting."""
        return format_setting({key: value for key, value in record.setting.items() if key in self._configs[name].space})


def _sum_or_none(numbers: Sequence[int | None]) -> int | None:
    """Return the sum, or None if one of the numbers is None."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _format_duration(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
