"""Watch sweeps that another process runs: write their page whenever a trial began or ended, until they are over."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.atomic_io import atomic_write
from sweep.config.messages import nearest_hint
from sweep.config.stored import CONFIG_FILE
from sweep.report.data import ReportData
from sweep.report.page import render_page
from sweep.report.sections import build_comparison_sections, build_sweep_section, describe_status
from sweep.report.write_report import PAGE_FILE, write_files

REFRESH_S = 5
"""Seconds after which the page reads itself again, and at least between two looks at the studies."""
IDLE_SHARE = 4
"""Seconds of rest for each second of work: the sweep needs the cores."""
NICENESS = 10
"""Priority that the process takes for itself, below that of the trials."""


def watch_sweeps(
    folder: Path,
    load_sweeps: Callable[[], Sequence[ReportData]],
    are_running: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Write a page that refreshes itself while sweeps run, then the whole report; return the page's path.

    Args:
        folder: existing folder that the report is written to.
        load_sweeps: loads the sweeps in their present state.
        are_running: tells if one of them is running.
        sleep: waits for some seconds.
    """
    shown: Sequence[ReportData] = ()
    while are_running():
        began, sweeps = time.monotonic(), load_sweeps()
        if sweeps != shown:
            path = _write_live_page(folder, sweeps)
            if not shown:
                print(f"{path} refreshes itself while the sweep runs; Ctrl-C ends this command")
            print(*map(describe_status, sweeps), sep="\n", flush=True)
            shown = sweeps
        sleep(max(REFRESH_S, IDLE_SHARE * (time.monotonic() - began)))
    return write_files(folder, load_sweeps())[0]


def wait_for_sweep(folder: Path, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until the folder of a sweep is there, which a sweep makes once its target is prepared."""
    if not folder.exists():
        hint = nearest_hint(folder.name, sorted(path.parent.name for path in folder.parent.glob(f"*/{CONFIG_FILE}")))
        print(
            f"waiting for {folder}{hint}, which begins once its target is prepared; Ctrl-C ends this command",
            flush=True,
        )
    while not folder.exists():
        sleep(REFRESH_S)


def _write_live_page(folder: Path, sweeps: Sequence[ReportData]) -> Path:
    """Write the page alone, which refreshes itself, and return its path."""
    page = render_page([*map(build_sweep_section, sweeps)], build_comparison_sections(sweeps), REFRESH_S)
    atomic_write(folder / PAGE_FILE, page)
    return folder / PAGE_FILE


def lower_priority() -> None:
    """Let the trials go first."""
    os.nice(NICENESS)
