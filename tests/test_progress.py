"""What the user sees: the lines, the table, and what is said of a sweep that goes on."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from toys import config as toy_config

from sweep.progress import ROWS, Board, Lines
from sweep.record import Record


def record(index: int, score: float | None = None, **changes: object) -> Record:
    """A trial of the search; finished where it has a score, 2 s after it began."""
    running = Record(
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


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """The board of a sweep of 40 trials."""
    return Board(toy_config(tmp_path), planned=40)


def test_lines_say_how_trials_ended() -> None:
    """One line for a stage that is done, one for a trial: setting to four digits, score or reason, seconds."""
    out = io.StringIO()
    lines = Lines(Console(file=out, width=20))
    lines.keep([record(0, 0.5), record(1, state="failed")])
    for done in range(3):
        lines.prepared("target", done, 2)
    lines.trial_ended(record(2, 0.25))
    lines.trial_ended(record(3, state="failed", reason="it [broke]", ended=13.5))
    assert out.getvalue().splitlines() == [
        "resumed after 1 trials",
        "prepared target",
        "search 2  alpha=1.5 beta=0.3333  score 0.2500  2.0 s",
        "search 3  alpha=1.5 beta=0.3333  failed (it [broke])  0.5 s",
    ]


def test_bars_until_the_first_trial(board: Board) -> None:
    """While it prepares there is a bar for each stage, and no table."""
    board.prepared("target", 1, 4)
    text = "\n".join(shown(board))
    assert "preparing the target" in text
    assert "1/4" in text
    assert "score" not in text


def test_the_best_trial_is_marked(board: Board) -> None:
    """Of scores .5, .2 and .2 the first .2 has the star; the header counts what is over."""
    for index, score in enumerate((0.5, 0.2, 0.2)):
        board.put(record(index, score))
    board.put(record(3, curve=[{"epoch": 2, "forget/es": 0.75, "retain/es": 1.0}]))
    lines = shown(board)
    assert lines[0].startswith("3/40 trials  best score 0.2000 (trial 1)")
    assert [line.split()[:2] for line in lines if "*" in line] == [["*", "1"]]
    assert lines[-1].split() == ["3", "1.5", "0.3333", "2/4", "0.75", "1", "running"]


def test_a_long_sweep_fits_the_screen(board: Board) -> None:
    """Of 40 trials 12 are shown: the best, the one that runs, and the most recent."""
    for index in range(39):
        board.put(record(index, 1.0 - (index == 5)))
    board.put(record(39))
    rows = [line.replace("*", " ").split()[0] for line in shown(board)[2:]]
    assert len(rows) == ROWS
    assert rows == ["5", *(str(index) for index in range(29, 40))]


def test_a_resumed_sweep_shows_what_is_over(board: Board) -> None:
    """Finished trials are there at once; failed ones are not, they are run again."""
    board.keep([record(0, 0.5), record(1, state="failed")])
    board.put(record(1))
    lines = shown(board)
    assert lines[0].startswith("1/40 trials")
    assert len(lines[2:]) == 2
