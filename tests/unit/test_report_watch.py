"""Watching a sweep: the page is written while it runs, only when a trial began or ended, and as a whole at the end."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from support import toys
from support.reports import reported, small, spiral
from sweep.report import watch
from sweep.report.__main__ import main
from sweep.report.data import ReportData
from sweep.report.page import render_page
from sweep.report.sections import build_sweep_section
from sweep.report.watch import REFRESH_S, wait_for_sweep, watch_sweeps
from sweep.report.write_report import PAGE_FILE
from sweep.search.study import create_study, is_running, read_revisions

META = f'<meta name="refresh-s" content="{REFRESH_S}">'


def write_page(folder: Path, sweeps: Sequence[ReportData]) -> list[Path]:
    """Write the page of a report, without its plots as files."""
    (folder / PAGE_FILE).write_text(render_page([*map(build_sweep_section, sweeps)], []), encoding="utf-8")
    return [folder / PAGE_FILE]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Vega's script and pictures, which take seconds; and this process keeps its priority."""
    monkeypatch.setattr("sweep.report.page.build_vega_script", str)
    monkeypatch.setattr(watch, "write_files", write_page)
    monkeypatch.setattr(watch, "lower_priority", lambda: None)


def test_the_page_follows_the_trials_until_the_sweep_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three looks while it runs, of which the second shows nothing new; then the report as ever, with no refresh."""
    one, two = reported(*spiral(1)), reported(*spiral(2))
    loads: Iterator[ReportData] = iter([one, one, two, small()])
    running = iter([True, True, True, False])
    pages: list[str] = []

    def sleep(seconds: float) -> None:
        assert seconds >= REFRESH_S
        pages.append((tmp_path / PAGE_FILE).read_text(encoding="utf-8"))

    assert watch_sweeps(tmp_path, lambda: [next(loads)], lambda: next(running), sleep) == tmp_path / PAGE_FILE
    assert all(META in page for page in pages)
    assert ["1 of 3 trials" in page for page in pages] == [True, True, False]
    assert META not in (tmp_path / PAGE_FILE).read_text(encoding="utf-8")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / PAGE_FILE} refreshes itself while the sweep runs; Ctrl-C ends this command"
    assert [line.split(" trials")[0] for line in lines[1:]] == ["mine: 1 of 3", "mine: 2 of 3"]


def test_a_page_that_is_written_while_the_sweep_runs_says_so(tmp_path: Path) -> None:
    """And how many trials are over."""
    first, second = spiral(2)
    half = reported(first, replace(second, state="running", metrics={}, ended=0.0))
    watch_sweeps(tmp_path, lambda: [half], iter([False]).__next__)
    text = (tmp_path / PAGE_FILE).read_text(encoding="utf-8")
    assert "mine: Running, 1 under way: 1 of 3 trials of the search" in text
    assert '<progress value="1"' in text


def test_a_sweep_that_is_prepared_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says so once, with the nearest sweep that is there, and goes on when its folder is there."""
    folder, looks = tmp_path / "mine", iter([False, False, True])
    (tmp_path / "mind").mkdir()
    (tmp_path / "mind" / "config.yaml").touch()

    def sleep(seconds: float) -> None:
        if next(looks):
            folder.mkdir()

    wait_for_sweep(folder, sleep)
    wait_for_sweep(folder, sleep)
    assert capsys.readouterr().out.splitlines() == [
        f"waiting for {folder} (nearest: mind), which begins once its target is prepared; Ctrl-C ends this command"
    ]


def test_a_sweep_runs_while_its_folder_is_locked(tmp_path: Path) -> None:
    """And the command, asked to watch one that is over, writes its report and ends."""
    config = toys.config(tmp_path, seeds=1)
    with create_study(config, "mine") as study:
        study.add_revision("abc")
        study.add_revision("abc")
        study.add_revision("def")
        assert is_running(config, "mine")
    assert not is_running(config, "mine")
    assert read_revisions(config, "mine") == ["abc", "def"]
    assert main(["mine", "--watch", f"storage={tmp_path}"]) == 0
    assert META not in (tmp_path / "mine" / PAGE_FILE).read_text(encoding="utf-8")
