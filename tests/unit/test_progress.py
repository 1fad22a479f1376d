"""What the user sees: the lines, the table, and what is said of a sweep that goes on."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from support.plans import toy_plan
from support.toys import config as toy_config
from sweep.display import MAX_TABLE_ROWS, Board, TextDisplay
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import Pace, StepProgress, TrialRecord

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


def shown(board: Board, width: int = 120) -> list[str]:
    """The board as text, line by line."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(board.render())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def plan(tmp_path: Path, name: str, trials: int = 40) -> SweepPlan:
    """A sweep of which nothing is run."""
    return toy_plan(toy_config(tmp_path, search={"trials": trials}), name)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """The board of a sweep of 40 trials."""
    return Board([plan(tmp_path, "sweep")])


def test_lines_say_how_trials_ended() -> None:
    """One line for a stage that is done, one for a trial: setting to four digits, score or reason, seconds."""
    out = io.StringIO()
    view = TextDisplay(Console(file=out, width=20), several=False)
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


def test_lines_of_several_sweeps_begin_with_their_names() -> None:
    """So that one knows whose trial 2 it is."""
    out = io.StringIO()
    TextDisplay(Console(file=out), several=True).for_sweep("a.npo").on_trial_update(record(2, 0.25))
    assert out.getvalue().startswith("a.npo search 2  alpha=1.5")


def test_work_that_takes_long_prints_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before 30 s are over, then each 30 s what is new, at most four at once; what has ended is forgotten."""
    out, clock = io.StringIO(), [0.0]
    monkeypatch.setattr("sweep.display.time.monotonic", lambda: clock[0])
    view = TextDisplay(Console(file=out, width=20), several=False)
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
    assert len(shown) == 6 and shown[-1] == "and 1 more"


def test_the_board_shows_the_pace(board: Board) -> None:
    """Beside the bar until the stage is done, and as the state of a trial until its next epoch."""
    board.update_stage("target", StepProgress(done=1, total=4, pace=PACE))
    board.update_stage("target", StepProgress(done=2, total=4))
    assert "2/4" in shown(board)[0] and shown(board)[0].rstrip().endswith("loss 1.234, 512 tokens/s, 0:12:30 left")
    board.update_stage("target", StepProgress(done=4, total=4))
    assert "loss" not in shown(board)[0]
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
    rows = [line.split()[0] for line in lines[3:]]
    assert rows == [str(index) for index in range(40 - MAX_TABLE_ROWS, 40)]


def test_a_resumed_sweep_shows_what_is_over(board: Board) -> None:
    """Finished trials are there at once; failed ones are not, they are run again."""
    board.add_resumed("sweep", [record(0, 0.5), record(1, state="failed")])
    board.update_trial("sweep", record(1))
    lines = shown(board)
    assert lines[0].startswith("1/40 trials")
    assert len(lines[3:]) == 2


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
    assert [line.split()[:3] for line in lines[4:]] == [["*", "a", "0"], ["*", "b", "0"]]


def test_a_budget_of_hours_has_no_known_end(tmp_path: Path) -> None:
    """Neither a total nor a time that is left."""
    endless = plan(tmp_path, "a")
    search = endless.config.search.model_copy(update={"trials": None, "hours": 2.0})
    board = Board([replace(endless, config=endless.config.model_copy(update={"search": search}))])
    board.update_trial("a", record(0, 0.5))
    assert shown(board)[0].split() == ["1", "trials", "0:00", "elapsed"]
