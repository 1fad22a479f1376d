"""The live board on a terminal: what is prepared, how far the sweeps are, their best trials, and the running ones."""

from collections.abc import Sequence
from threading import RLock

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import ControlType
from rich.text import Text

from sweep.display.state import SweepsState
from sweep.display.table import TrialRow, build_row, fit_setting, render_rows, shorten_text
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Pace, Setting, StepProgress, TrialRecord, escape_unprintable

MAX_TABLE_ROWS = 12
"""Maximum number of trials in the table, unless more run: first the running ones, then the most recent."""
WIDE_TERMINAL = 100
"""Width from which a bar has room for loss and speed."""
HEADING_LINES = 2
"""Lines above the rows of the table."""


class LiveDisplay:
    """Display that draws a board, which its own thread refreshes."""

    def __init__(self, board: "Board", live: Live) -> None:
        """Draw the board into the live display."""
        self._board = board
        self._live = live

    def for_sweep(self, name: str) -> "LiveSweepView":
        """Return the view that puts a sweep's trials on the board."""
        return LiveSweepView(self._board, self._live.console, name)

    def on_status(self, status: str) -> None:
        """Show what goes on until there is a bar or a trial."""
        self._board.set_status(status)

    def on_slots(self, n_slots: int) -> None:
        """Say that trials begin, and tell the forecast how many run at once."""
        self._board.state.n_slots = n_slots
        self.on_status(f"starting trials, {n_slots} at once")

    def on_prepared(self, stage: str, progress: StepProgress) -> None:
        """Update the bar of the stage; at its end a line takes its place, above the board."""
        self._board.update_stage(stage, progress)
        if progress.done == progress.total:
            self._live.console.print(Text(escape_unprintable(f"prepared {stage}")))

    def on_step(self) -> None:
        """Renew the forecast if it is due."""
        self._board.refresh_forecast()


class LiveSweepView:
    """Display of one sweep on a board."""

    def __init__(self, board: "Board", console: Console, name: str) -> None:
        """Put the trials on the board under the sweep's name."""
        self._board = board
        self._console = console
        self._name = name

    def on_resume(self, records: Sequence[TrialRecord]) -> None:
        """Show the trials that are done."""
        self._board.add_resumed(self._name, records)

    def on_trial_update(self, record: TrialRecord) -> None:
        """Show the current state of the trial; the reason of a failure stays above the board."""
        self._board.update_trial(self._name, record)
        if record.state == "failed":
            line = f"{self._name} {record.phase} {record.index} failed: {record.reason}"
            self._console.print(Text(escape_unprintable(line)))


class Board:
    """All sweeps as lines that fit the terminal, for `rich`; one thread may draw it while another changes it.

    Attributes:
        state: the trials of all sweeps.
    """

    def __init__(self, plans: Sequence[SweepPlan]) -> None:
        """Start without trials."""
        self.state = SweepsState(plans)
        self._lock = RLock()
        self._drawn: Sequence[int] = ()
        self._names = shorten_names([plan.name for plan in plans])
        title, pace = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
        self._bars = Progress(title, BarColumn(10), MofNCompleteColumn(), TimeElapsedColumn(), pace)
        self._stages: dict[str, TaskID] = {}
        self._paces: dict[str, Pace | None] = {}
        self._spinner = Progress(SpinnerColumn(), title, TimeElapsedColumn())

    def set_status(self, status: str) -> None:
        """Show what goes on, with the time since then, until there is a bar or a trial."""
        with self._lock:
            self._remove_status()
            self._spinner.add_task(status)

    def close(self) -> None:
        """Leave out of the last drawing, which stays on the terminal, what is no longer true."""
        with self._lock:
            self._remove_status()
            self.state.end_forecast()

    def update_stage(self, stage: str, progress: StepProgress) -> None:
        """Update the bar of a preparation stage; add the bar at its first progress, remove it at its end."""
        with self._lock:
            if stage not in self._stages:
                self._stages[stage] = self._bars.add_task(f"preparing the {stage}", pace="")
            bar = self._stages[stage]
            self._bars.update(bar, completed=progress.done, total=progress.total)
            self._paces[stage] = progress.pace or self._paces.get(stage)
            if progress.done == progress.total:
                self._bars.remove_task(self._stages.pop(stage))

    def add_resumed(self, name: str, records: Sequence[TrialRecord]) -> None:
        """Add the trials that were done before the sweep was resumed."""
        with self._lock:
            self.state.add_resumed(name, records)

    def update_trial(self, name: str, record: TrialRecord) -> None:
        """Add the trial or replace its record; the first call starts the clock of the header."""
        with self._lock:
            self.state.update_trial(name, record)

    def refresh_forecast(self) -> None:
        """Renew the forecast if it is due, in the thread of the search: both use the same model of scores."""
        self.state.refresh_forecast()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the bars of the preparation, and below them the trials once the first has started."""
        with self._lock:
            width, height = options.max_width, console.size.height - 1
            bars = [self._bars] if self._stages else []
            for stage, bar in self._stages.items():
                self._bars.update(bar, pace=_describe_pace(self._paces[stage], width))
            if self.state.started:
                lines = self._render_trials(width, height - len(self._stages))
                yield erase_wrapped(self._drawn, width)
                self._drawn = [line.cell_len for line in lines]
                yield from bars
                yield from lines
            else:
                yield from bars or [self._spinner]

    def _remove_status(self) -> None:
        for shown in self._spinner.task_ids:
            self._spinner.remove_task(shown)

    def _render_trials(self, width: int, height: int) -> list[Text]:
        """Return header, best trials and table: the running trials come first where the height is not enough."""
        header = Text(shorten_text(self.state.describe_progress(), width), style="bold")
        n_running, room = len(self.state.list_running()), max(1, height - 1 - HEADING_LINES)
        bests = self._render_bests(width)[: max(0, room - n_running)]
        n_rows = min(room - len(bests), max(n_running, MAX_TABLE_ROWS))
        rows, more = self._select_trials(n_rows if n_running <= n_rows else n_rows - 1)
        table = render_rows(rows, width) if rows else []
        return [header, *bests, *table, *([_describe_more(more, width)] if more else [])]

    def _render_bests(self, width: int) -> list[Text]:
        """Return a line with the best trial of each sweep that has one."""
        lines, width_of_names = [], max(map(cell_len, self._names.values()))
        for name in self.state.plans:
            if best := self.state.find_best(name):
                front = f"{self._names[name]:{width_of_names}}  best score {best.score:.4f}  trial {best.index}  "
                setting = fit_setting(self._select_searched(name, best), width - len(front))
                lines.append(Text(shorten_text(front + setting, width)))
        return lines

    def _select_trials(self, n_rows: int) -> tuple[list[TrialRow], list[TrialRecord]]:
        """Return rows of the running and the last ended trials, as they were added, and the running ones left out."""
        order = [(name, one) for name, own in self.state.trials.items() for one in own.values()]
        recent = sorted(order, key=lambda one: (one[1].state == "running", one[1].ended), reverse=True)
        chosen = recent[:n_rows]
        left_out = [record for _, record in recent[n_rows:] if record.state == "running"]
        shown = {id(record) for _, record in chosen}
        bests = [self.state.find_best(name) for name in self.state.plans]
        rows = [self._build_row(*one, any(one[1] is best for best in bests)) for one in order if id(one[1]) in shown]
        return rows, left_out

    def _build_row(self, name: str, record: TrialRecord, is_best: bool) -> TrialRow:
        epochs = int(record.setting.get("train.epochs", self.state.plans[name].config.train.epochs))
        sweep = self._names[name] if len(self.state.plans) > 1 else ""
        return build_row(sweep, record, self._select_searched(name, record), epochs, is_best)

    def _select_searched(self, name: str, record: TrialRecord) -> Setting:
        """Return the searched part of the trial's setting."""
        space = self.state.plans[name].config.space
        return {key: value for key, value in record.setting.items() if key in space}


def shorten_names(names: Sequence[str]) -> dict[str, str]:
    """Return what distinguishes sweeps by their names: `wga` for `three.wga` where all begin with `three.`."""
    fronts = {name.rpartition(".")[0] for name in names}
    cut = len(fronts.pop()) + 1 if len(names) > 1 and len(fronts) == 1 and "" not in fronts else 0
    return {name: escape_unprintable(name[cut:]) for name in names}


def erase_wrapped(drawn: Sequence[int], width: int) -> Control:
    """Erase the further lines that the last drawing takes where the terminal has become narrower and wrapped it.

    `rich` itself goes up by as many lines as it has drawn.
    """
    more = sum(max(0, (length - 1) // width) for length in drawn)
    up_and_erase = (ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)
    return Control(*more * up_and_erase)


def _describe_pace(pace: Pace | None, width: int) -> str:
    """Describe the pace of a stage; on a narrow terminal, beside its bar, by the time that is left alone."""
    words = "" if pace is None else str(pace)
    return words if width >= WIDE_TERMINAL else words.rpartition(", ")[2]


def _describe_more(running: Sequence[TrialRecord], width: int) -> Text:
    """Name the running trials for which there is no row."""
    names = ", ".join(f"{one.phase} {one.index}" for one in running)
    return Text(shorten_text(f"and {len(running)} more run: {names}", width))
