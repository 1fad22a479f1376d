"""What the user sees: the lines, the table, and what is said of a sweep that goes on."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from support.plans import toy_plan
from support.toys import config as toy_config
from sweep.display.board import MAX_TABLE_ROWS, Board, LiveDisplay, erase_wrapped, shorten_names
from sweep.display.lines import TextDisplay
from sweep.display.state import format_duration
from sweep.display.table import build_row, render_rows
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Pace, Setting, StepProgress, TrialRecord

PACE = Pace(loss=1.234, tokens_per_s=512.3, left_s=750.2)


def record(index: int, score: float | None = None, **changes: object) -> TrialRecord:
    """A trial of the search; finished where it has a score, 2 s after it began."""
    running = TrialRecord(
        phase="search",
        index=index,
        setting={"alpha": 1.5, "beta": 1 / 3},
        seed=0,
        state="running",
        started=10.0 + index,
    )
    if score is not None:
        running = replace(running, state="finished", metrics={"score": score}, ended=12.0 + index)
    return replace(running, **changes)  # type: ignore[arg-type]


def shown(board: Board, width: int = 120, height: int = 40) -> list[str]:
    """The board as text, line by line."""
    board.refresh_forecast()
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    console.print(board)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def plan(tmp_path: Path, name: str, trials: int = 40) -> SweepPlan:
    """A sweep of which nothing is run."""
    return toy_plan(toy_config(tmp_path, search={"trials": trials}), name)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """The board of a sweep of 40 trials."""
    return Board([plan(tmp_path, "sweep")])


def test_lines_say_how_trials_ended(tmp_path: Path) -> None:
    """One line for a stage that is done, one for a trial: setting to four digits, score or reason, seconds."""
    out = io.StringIO()
    view = TextDisplay(Console(file=out, width=20), [plan(tmp_path, "sweep")])
    lines = view.for_sweep("sweep")
    lines.on_resume([record(0, 0.5), record(1, state="failed")])
    for done in range(3):
        view.on_prepared("target", StepProgress(done=done, total=2))
    lines.on_trial_update(record(2, 0.25))
    lines.on_trial_update(record(3, state="failed", reason="it [broke]", ended=13.5))
    assert out.getvalue().splitlines() == [
        "resumed after 1 trials",
        "prepared target",
        "search 2  alpha=1.5 beta=0.3333  score 0.2500  2.0 s",
        "search 3  alpha=1.5 beta=0.3333  failed (it [broke])  0.5 s",
    ]


def test_lines_of_several_sweeps_begin_with_their_names(tmp_path: Path) -> None:
    """So that one knows whose trial 2 it is."""
    out = io.StringIO()
    plans = [plan(tmp_path, "a.npo"), plan(tmp_path, "a.wga")]
    TextDisplay(Console(file=out), plans).for_sweep("a.npo").on_trial_update(record(2, 0.25))
    assert out.getvalue().startswith("a.npo search 2  alpha=1.5")


def test_work_that_takes_long_prints_a_line_every_half_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before 30 s are over, then each 30 s what is new, at most four at once; what has ended is forgotten."""
    out, clock = io.StringIO(), [0.0]
    monkeypatch.setattr("sweep.display.lines.time.monotonic", lambda: clock[0])
    view = TextDisplay(Console(file=out, width=20), [plan(tmp_path, "sweep")])
    trials = view.for_sweep("sweep")

    def show(at: float, *done: int) -> list[str]:
        clock[0] = 1000 + at
        for step in done:
            view.on_prepared("target", StepProgress(done=step, total=625, pace=PACE))
        view.on_step()
        shown = out.getvalue().splitlines()
        out.seek(out.truncate(0))
        return shown

    assert show(0, 1) == show(29, 119) == []
    assert show(30, 120) == ["target: 120/625 steps, loss 1.234, 512 tokens/s, 0:12:30 left"]
    assert show(59, 240) == []
    assert show(60) == ["target: 240/625 steps, loss 1.234, 512 tokens/s, 0:12:30 left"]
    assert show(90) == []
    view.on_prepared("target", StepProgress(done=241, total=625, goes_on=True))
    assert show(91, 624) == [
        "target: goes on at step 241 of 625",
        "target: 624/625 steps, loss 1.234, 512 tokens/s, 0:12:30 left",
    ]
    view.on_prepared("target", StepProgress(done=625, total=625))
    for index in range(6):
        trials.on_trial_update(record(index))
    assert show(100) == ["prepared target"]
    clock[0] = 1130.0
    for index in range(6):
        trials.on_trial_update(record(index, progress=StepProgress(done=12, total=40, pace=PACE)))
    trials.on_trial_update(record(0, 0.5))
    shown = show(131)
    assert shown[0] == "search 0  alpha=1.5 beta=0.3333  score 0.5000  2.0 s"
    assert shown[1] == ("search 1  alpha=1.5 beta=0.3333: 12/40 steps, loss 1.234, 512 tokens/s, 0:12:30 left")
    assert len(shown) == 7 and shown[-2] == "and 1 more"
    assert shown[-1].startswith("1/40 trials  about ") and shown[-1].endswith(" left  0:40 elapsed  search")


def test_the_board_shows_the_pace(board: Board) -> None:
    """Beside the bar until the stage is done, and as the state of a trial until its next epoch."""
    board.update_stage("target", StepProgress(done=1, total=4, pace=PACE))
    board.update_stage("target", StepProgress(done=2, total=4))
    assert "2/4" in shown(board)[0] and shown(board)[0].rstrip().endswith("loss 1.234, 512 tokens/s, 0:12:30 left")
    board.update_stage("target", StepProgress(done=4, total=4))
    assert "loss" not in "".join(shown(board))
    board.update_trial("sweep", record(0, progress=StepProgress(done=12, total=40, pace=PACE)))
    assert shown(board, 160)[-1].rstrip().endswith("running: 12/40 steps, loss 1.234, 512 tokens/s, 0:12:30 left")
    board.update_trial("sweep", record(0))
    assert shown(board)[-1].rstrip().endswith("running")


def test_bars_until_the_first_trial(board: Board) -> None:
    """While it prepares there is a bar for each stage, and no table."""
    board.update_stage("target", StepProgress(done=1, total=4))
    text = "\n".join(shown(board))
    assert "preparing the target" in text
    assert "1/4" in text
    assert "score" not in text


def test_the_best_trial_is_marked(board: Board) -> None:
    """Of scores .5, .2 and .2 the first .2 has the star and stands above; the header counts what is over."""
    for index, score in enumerate((0.5, 0.2, 0.2)):
        board.update_trial("sweep", record(index, score))
    board.update_trial("sweep", record(3, curve=[{"epoch": 2, "forget/es": 0.75, "retain/es": 1.0}]))
    lines = shown(board)
    assert lines[0].startswith("3/40 trials")
    assert lines[1].split() == ["sweep", "best", "score", "0.2000", "trial", "1", "alpha=1.5", "beta=0.3333"]
    assert [line.split()[:2] for line in lines if "*" in line] == [["*", "1"]]
    assert lines[-1].split() == ["3", "alpha=1.5", "beta=0.3333", "2/4", "0.75", "1", "running"]


def test_a_long_sweep_fits_the_screen(board: Board) -> None:
    """Of 40 trials 12 are shown: the one that runs and the most recent; the best stands above."""
    for index in range(39):
        board.update_trial("sweep", record(index, 1.0 - (index == 5)))
    board.update_trial("sweep", record(39))
    lines = shown(board)
    assert "trial 5" in lines[1]
    rows = [line.split()[0] for line in lines[4:]]
    assert rows == [str(index) for index in range(40 - MAX_TABLE_ROWS, 40)]


def test_a_resumed_sweep_shows_what_is_over(board: Board) -> None:
    """Finished trials are there at once; failed ones are not, they are run again."""
    board.add_resumed("sweep", [record(0, 0.5), record(1, state="failed")])
    board.update_trial("sweep", record(1))
    lines = shown(board)
    assert lines[0].startswith("1/40 trials")
    assert len(lines[4:]) == 2


def test_sweeps_side_by_side(tmp_path: Path) -> None:
    """40 + 8 trials; each sweep has its best, though both have a trial 0."""
    board = Board([plan(tmp_path, "a"), plan(tmp_path, "b", trials=8)])
    board.update_trial("a", record(0, 0.5))
    board.update_trial("b", record(0, 0.25))
    lines = shown(board)
    assert lines[0].startswith("2/48 trials")
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["a", "best", "score", "0.5000"],
        ["b", "best", "score", "0.2500"],
    ]
    assert [line.split()[:3] for line in lines[5:]] == [["*", "a", "0"], ["*", "b", "0"]]


def test_a_budget_of_hours_has_an_end_and_no_total(tmp_path: Path) -> None:
    """A trial took 2 s of 2 hours, and files take 5 s more; a moment has passed since."""
    endless = plan(tmp_path, "a")
    search = endless.config.search.model_copy(update={"trials": None, "hours": 2.0})
    board = Board([replace(endless, config=endless.config.model_copy(update={"search": search}))])
    board.update_trial("a", record(0, 0.5))
    assert shown(board)[0].split() == ["1", "trials", "about", "2:00:02", "left", "0:00", "elapsed"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (100, 12), (60, 15), (50, 10)])
def test_the_running_trials_are_seen_on_every_terminal(tmp_path: Path, width: int, height: int) -> None:
    """Of eight sweeps, the last of which runs two trials: no line is too long, none too much."""
    names = [f"three.{name}" for name in ("ga", "wga", "npo", "tnpo", "wtnpo", "rmu", "simnpo", "satimp")]
    board = Board([plan(tmp_path, name) for name in names])
    for name in names:
        for index in range(5):
            board.update_trial(name, record(index, 0.5))
    for index in (5, 6):
        board.update_trial(names[-1], record(index, progress=StepProgress(done=12, total=40, pace=PACE)))
    lines = shown(board, width, height)
    assert len(lines) < height and max(map(len, lines)) <= width
    assert [line.split()[:2] for line in lines if " running" in line] == [["satimp", "5"], ["satimp", "6"]]


def test_more_trials_run_than_the_terminal_has_lines(board: Board) -> None:
    """Of 32, on 12 lines: a header, two headings, seven rows, and a line for the others."""
    for index in range(32):
        board.update_trial("sweep", record(index))
    lines = shown(board, 80, 12)
    assert [line.split()[0] for line in lines[3:-1]] == [*map(str, range(7))]
    assert lines[-1].startswith("and 25 more run: search 7, search 8, ") and lines[-1].endswith(", search …")


def test_what_stands_in_a_narrow_table() -> None:
    """First states lose words, then settings digits, then the table columns; no word is cut."""
    setting: Setting = {"alpha": 1.23456, "beta": 7, "train.lr": 0.000123456}
    rows = [build_row("", record(3, progress=StepProgress(done=12, total=40, pace=PACE)), setting, 10, False)]

    def line(width: int) -> str:
        return render_rows(rows, width)[-1].plain

    whole = "alpha=1.235 beta=7 train.lr=0.0001235"
    assert line(150).endswith("  running: 12/40 steps, loss 1.234, 512 tokens/s, 0:12:30 left")
    assert line(120).split("  ")[-1].strip() == "running: 12/40 steps, 0:12:30 left"
    assert whole in line(96) and line(96).endswith("  running")
    assert "alpha=1.2 beta=7 train.lr=0.00012 " in line(88)
    assert "forget ES" in render_rows(rows, 88)[1].plain
    assert "forget ES" not in render_rows(rows, 70)[1].plain
    assert "alpha=1.2 beta=7 … " in line(45)


def test_a_terminal_that_becomes_narrower_keeps_no_rest_of_the_board() -> None:
    """It wraps lines of 81 and 41 cells to 3 and 2 of 40: three more than were drawn, which a line of 40 is not."""
    assert erase_wrapped([81, 41, 40, 0], 40).segment.text == 3 * "\x1b[1A\x1b[2K"
    assert erase_wrapped([81, 41, 40, 0], 100).segment.text == ""


def test_the_last_drawing_says_nothing_that_passes(board: Board) -> None:
    """It stays on the screen: without the time that is left, and without the status before the first trial."""
    board.set_status("starting trials")
    assert "starting trials" in shown(board)[0]
    board.close()
    assert "".join(shown(board)).strip() == ""
    board.update_trial("sweep", record(0, 0.5))
    assert "left" in shown(board)[0]
    board.close()
    assert board.state.describe_progress() == "1/40 trials  0:00 elapsed"


def test_durations_are_read() -> None:
    """Minutes and seconds, hours, days."""
    assert [*map(format_duration, (59.9, 130, 3730, 100000))] == ["0:59", "2:10", "1:02:10", "1 d 3 h"]


def test_sweeps_of_a_comparison_are_told_apart_by_the_ends_of_their_names() -> None:
    """Others keep their names."""
    assert [*shorten_names(["three.wga", "three.npo"]).values()] == ["wga", "npo"]
    assert [*shorten_names(["a.wga", "b.npo"]).values()] == ["a.wga", "b.npo"]
    assert [*shorten_names(["a.wga"]).values()] == ["a.wga"]


def test_a_live_display_leaves_lines_above_the_board(tmp_path: Path, board: Board) -> None:
    """Of stages that are done and of trials that failed, whose reason has no room in the table."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    view = LiveDisplay(board, Live(console=console, auto_refresh=False))
    for done in (1, 2):
        view.on_prepared("target", StepProgress(done=done, total=2))
    view.for_sweep("sweep").on_trial_update(record(0, state="failed", reason="it broke"))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == ["prepared target", "sweep search 0 failed: it broke"]
