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

from sweep.callbacks import View
from sweep.plan.job import Work
from sweep.records import Phase, Record, Setting, printable
from sweep.search.queue import planned

FRAME = 0.25
"""Minimum time between two drawings of the table in seconds."""
ROWS = 12
"""Maximum number of trials in the live table: first the running ones, then the most recent."""


@contextmanager
def view(works: Sequence[Work]) -> Iterator[View]:
    """Open the display of the sweeps: a live table on a terminal, else lines."""
    console = Console()
    if not console.is_terminal:
        yield Lines(console, several=len(works) > 1)
        return
    board = Board(works)
    with Live(console=console, auto_refresh=False) as live:
        yield LiveView(board, live)
        live.update(board.render(), refresh=True)


class Lines:
    """Display that prints a line for each finished stage of the preparation and each trial that has ended."""

    def __init__(self, console: Console, *, several: bool) -> None:
        """Print to the console; with several sweeps, begin each line with the sweep's name."""
        self._console = console
        self._several = several

    def of(self, name: str) -> "SweepLines":
        """Return the lines of one sweep."""
        return SweepLines(self._console, f"{name} " if self._several else "")

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Print a line when a stage is done."""
        if done == total:
            _print(self._console, f"prepared {stage}")

    def tick(self) -> None:
        """Do nothing."""


class SweepLines:
    """Display of one sweep that prints a line for each trial that has ended."""

    def __init__(self, console: Console, front: str) -> None:
        """Print to the console; begin each line with `front`."""
        self._console = console
        self._front = front

    def keep(self, records: Sequence[Record]) -> None:
        """Print how many trials are done; failed ones run again."""
        if over := sum(record.state != "failed" for record in records):
            _print(self._console, f"{self._front}resumed after {over} trials")

    def note(self, record: Record) -> None:
        """Print the outcome of a trial once it has ended."""
        if record.state == "running":
            return
        result = f"score {record.score:.4f}" if record.state == "finished" else record.state
        why = f" ({record.reason})" if record.reason else ""
        trial = f"{record.phase} {record.index}  {described(record.setting)}"
        _print(self._console, f"{self._front}{trial}  {result}{why}  {record.ended - record.started:.1f} s")


def _print(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """Display that redraws a board a few times a second."""

    def __init__(self, board: "Board", live: Live) -> None:
        """Draw the board into the live display."""
        self._board = board
        self._live = live
        self._drawn = 0.0

    def of(self, name: str) -> "BoardRows":
        """Return the view that puts a sweep's trials on the board."""
        return BoardRows(self._board, name)

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Update the bar of the stage, and draw."""
        self._board.prepared(stage, done, total)
        self.tick()

    def tick(self) -> None:
        """Draw the board, unless that was done less than a redraw interval ago."""
        if time.monotonic() - self._drawn >= FRAME:
            self._drawn = time.monotonic()
            self._live.update(self._board.render(), refresh=True)


class BoardRows:
    """Display of one sweep on a board."""

    def __init__(self, board: "Board", name: str) -> None:
        """Put the trials on the board under the sweep's name."""
        self._board = board
        self._name = name

    def keep(self, records: Sequence[Record]) -> None:
        """Show the trials that are done."""
        self._board.keep(self._name, records)

    def note(self, record: Record) -> None:
        """Show the current state of the trial."""
        self._board.put(self._name, record)


class Board:
    """State of all sweeps, rendered by rich as progress bars, a header and a table of trials."""

    def __init__(self, works: Sequence[Work]) -> None:
        """Start without trials; the header counts towards the trials that the sweeps plan."""
        self._configs = {work.name: work.config for work in works}
        self._planned = _sum([planned(work.config, work.paper) for work in works])
        self._records: dict[tuple[str, Phase, int], Record] = {}
        self._before = 0
        self._started = 0.0
        self._bars = Bars(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._stages: dict[str, TaskID] = {}

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Update the bar of a preparation stage; add the bar at its first progress."""
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(f"preparing the {stage}")
        self._bars.update(self._stages[stage], completed=done, total=total)

    def keep(self, name: str, records: Sequence[Record]) -> None:
        """Add the trials that were done before the sweep was resumed; skip failed ones, which run again."""
        over = {(name, record.phase, record.index): record for record in records if record.state != "failed"}
        self._records |= over
        self._before += len(over)

    def put(self, name: str, record: Record) -> None:
        """Add the trial or replace its record; the first call starts the clock of the header."""
        self._started = self._started or time.monotonic()
        self._records[name, record.phase, record.index] = record

    def render(self) -> RenderableType:
        """Return the bars of the preparation, and below them the trials once the first has started."""
        return Group(self._bars, self._head(), *self._bests(), self._table()) if self._started else self._bars

    def _best(self, name: str) -> Record | None:
        own = [record for (sweep, phase, _), record in self._records.items() if (sweep, phase) == (name, "search")]
        finished = [record for record in own if record.state == "finished"]
        return min(finished, key=lambda r: (r.score, r.index), default=None)

    def _head(self) -> Text:
        over = sum(record.state != "running" for record in self._records.values())
        elapsed = time.monotonic() - self._started
        parts = [f"{over} trials" if self._planned is None else f"{over}/{self._planned} trials"]
        parts.append(f"{_clock(elapsed)} elapsed")
        if self._planned is not None and over > self._before:
            parts.append(f"about {_clock(elapsed * (self._planned - over) / (over - self._before))} left")
        return Text("  ".join(parts), style="bold")

    def _bests(self) -> list[Text]:
        """Return a line with the best trial of each sweep that has one."""
        bests = {name: best for name in self._configs if (best := self._best(name))}
        return [
            Text(printable(f"{name}  best score {best.score:.4f}  trial {best.index}  {self._setting(name, best)}"))
            for name, best in bests.items()
        ]

    def _table(self) -> Table:
        sweep = ["sweep"] if len(self._configs) > 1 else []
        table = Table("", *sweep, "trial", "setting", "epoch", "forget ES", "retain ES", "score", "state", box=None)
        bests = [self._best(name) for name in self._configs]
        for name, record in self._shown():
            mark, style = ("*", "green") if any(record is best for best in bests) else ("", None)
            table.add_row(mark, *(Text(printable(cell)) for cell in self._cells(name, record)), style=style)
        return table

    def _shown(self) -> list[tuple[str, Record]]:
        """Return the running and the most recently ended trials, in the order in which they were added."""
        order = [(name, record) for (name, _, _), record in self._records.items()]
        recent = sorted(order, key=lambda one: (one[1].state == "running", one[1].ended), reverse=True)[:ROWS]
        return [one for one in order if one in recent]

    def _cells(self, name: str, record: Record) -> list[str]:
        point = record.metrics or (record.curve[-1] if record.curve else {})
        epochs = record.setting.get("train.epochs", self._configs[name].train.epochs)
        done = int(record.curve[-1]["epoch"]) if record.curve else 0
        return [
            *([name] if len(self._configs) > 1 else []),
            str(record.index) if record.phase == "search" else f"repeat {record.index}",
            self._setting(name, record),
            f"{done}/{epochs}",
            *(_number(point.get(key, "")) for key in ("forget/es", "retain/es", "score")),
            record.state if not record.reason else f"{record.state}: {record.reason}",
        ]

    def _setting(self, name: str, record: Record) -> str:
        """Format the searched part of the trial's setting."""
        return described({key: value for key, value in record.setting.items() if key in self._configs[name].space})


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Return the sum, or None if one of the numbers is None."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def described(setting: Setting) -> str:
    """Format a setting as one line, floats with four significant digits."""
    return " ".join(f"{key}={_number(value)}" for key, value in setting.items())


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
