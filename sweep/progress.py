"""What the user sees of a sweep while it runs: bars and a live table, or plain lines where there is no terminal."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from sweep.config import SweepConfig
from sweep.record import Phase, Record, Setting

FRAME = 0.25
"""Seconds between two drawings of the table."""
ROWS = 12
"""Trials in the live table: the best, those that run, and the most recent."""


class View(Protocol):
    """What shows a sweep."""

    def prepared(self, stage: str, done: int, total: int) -> None:
        """A stage of the preparation went on."""

    def keep(self, records: Sequence[Record]) -> None:
        """These trials were run before the sweep was resumed."""

    def trial_started(self, record: Record) -> None:
        """The trial was given to a worker."""

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """The trial has a new point on its curve."""

    def trial_ended(self, record: Record) -> None:
        """The trial is over."""

    def tick(self) -> None:
        """Some time went by."""


@contextmanager
def view(config: SweepConfig, planned: int) -> Iterator[View]:
    """Show a sweep of `planned` trials: a table on a terminal, else lines."""
    console = Console()
    if not console.is_terminal:
        yield Lines(console)
        return
    board = Board(config, planned)
    with Live(console=console, auto_refresh=False) as live:
        yield LiveView(board, live)
        live.update(board.render(), refresh=True)


class Lines:
    """One line for each stage of the preparation and for each trial that is over."""

    def __init__(self, console: Console) -> None:
        """Print to the console."""
        self._console = console

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Say that a stage is done."""
        if done == total:
            self._print(f"prepared {stage}")

    def keep(self, records: Sequence[Record]) -> None:
        """Say how many trials are over."""
        if over := sum(record.state != "failed" for record in records):
            self._print(f"resumed after {over} trials")

    def trial_started(self, record: Record) -> None:
        """Say nothing."""

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """Say nothing."""

    def trial_ended(self, record: Record) -> None:
        """Say how the trial ended."""
        result = f"score {record.score:.4f}" if record.state == "finished" else record.state
        why = f" ({record.reason})" if record.reason else ""
        seconds = f"{record.ended - record.started:.1f} s"
        self._print(f"{record.phase} {record.index}  {described(record.setting)}  {result}{why}  {seconds}")

    def tick(self) -> None:
        """Say nothing."""

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """A board that is drawn again a few times a second."""

    def __init__(self, board: "Board", live: Live) -> None:
        """Draw the board into the live display."""
        self._board = board
        self._live = live
        self._drawn = 0.0

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        self._board.prepared(stage, done, total)
        self.tick()

    def keep(self, records: Sequence[Record]) -> None:
        """Show what is over."""
        self._board.keep(records)

    def trial_started(self, record: Record) -> None:
        """Show the trial."""
        self._board.put(record)

    def epoch(self, record: Record, point: dict[str, float]) -> None:
        """Show the new point."""
        self._board.put(record)

    def trial_ended(self, record: Record) -> None:
        """Show the result."""
        self._board.put(record)

    def tick(self) -> None:
        """Draw, if the last drawing is old enough."""
        if time.monotonic() - self._drawn >= FRAME:
            self._drawn = time.monotonic()
            self._live.update(self._board.render(), refresh=True)


class Board:
    """The state of a sweep as something that rich can draw."""

    def __init__(self, config: SweepConfig, planned: int) -> None:
        """Start without trials."""
        self._config = config
        self._planned = planned
        self._records: dict[tuple[Phase, int], Record] = {}
        self._before = 0
        self._started = 0.0
        self._bars = Bars(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._stages: dict[str, TaskID] = {}

    def prepared(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(f"preparing the {stage}")
        self._bars.update(self._stages[stage], completed=done, total=total)

    def keep(self, records: Sequence[Record]) -> None:
        """Take in the trials that are over; failed ones are run again."""
        self._records = {(record.phase, record.index): record for record in records if record.state != "failed"}
        self._before = len(self._records)

    def put(self, record: Record) -> None:
        """Take in what is new of a trial."""
        self._started = self._started or time.monotonic()
        self._records[record.phase, record.index] = record

    def render(self) -> RenderableType:
        """Bars of the preparation, and below them the trials once there are some."""
        return Group(self._bars, self._head(), self._table()) if self._started else self._bars

    def _best(self) -> Record | None:
        finished = [r for r in self._records.values() if r.phase == "search" and r.state == "finished"]
        return min(finished, key=lambda r: (r.score, r.index), default=None)

    def _head(self) -> Text:
        over = sum(record.state != "running" for record in self._records.values())
        elapsed = time.monotonic() - self._started
        parts = [f"{over}/{self._planned} trials"]
        if best := self._best():
            parts.append(f"best score {best.score:.4f} (trial {best.index})")
        parts.append(f"{_clock(elapsed)} elapsed")
        if over > self._before:
            parts.append(f"about {_clock(elapsed * (self._planned - over) / (over - self._before))} left")
        return Text("  ".join(parts), style="bold")

    def _table(self) -> Table:
        table = Table("", "trial", *self._config.space, "epoch", "forget ES", "retain ES", "score", "state", box=None)
        best = self._best()
        for record in self._shown(best):
            mark, style = ("*", "green") if record is best else ("", None)
            table.add_row(mark, *self._cells(record), style=style)
        return table

    def _shown(self, best: Record | None) -> list[Record]:
        """The best, the running and the most recent trials, in the order of the sweep."""
        order = list(self._records.values())
        ranked = sorted(order, key=lambda r: (r is best, r.state == "running", r.ended), reverse=True)
        return [record for record in order if record in ranked[:ROWS]]

    def _cells(self, record: Record) -> list[str]:
        point = record.metrics or (record.curve[-1] if record.curve else {})
        epochs = record.setting.get("train.epochs", self._config.train.epochs)
        done = int(record.curve[-1]["epoch"]) if record.curve else 0
        name = str(record.index) if record.phase == "search" else f"repeat {record.index}"
        return [
            name,
            *(_number(record.setting.get(key, "")) for key in self._config.space),
            f"{done}/{epochs}",
            *(_number(point.get(key, "")) for key in ("forget/es", "retain/es", "score")),
            record.state if not record.reason else f"{record.state}: {record.reason}",
        ]


def described(setting: Setting) -> str:
    """The setting in one line, numbers to four digits."""
    return " ".join(f"{key}={_number(value)}" for key, value in setting.items())


def _number(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
