"""Watch sweeps that another process runs: write their page whenever a trial began or ended, until they are over."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.report.data import ReportData
from sweep.report.sections import describe_status
from sweep.report.write_report import write_files, write_live_page

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
            path = write_live_page(folder, sweeps, REFRESH_S)
            if not shown:
                print(f"{path} refreshes itself while the sweep runs; Ctrl-C ends this command")
            print(*map(describe_status, sweeps), sep="\n", flush=True)
            shown = sweeps
        sleep(max(REFRESH_S, IDLE_SHARE * (time.monotonic() - began)))
    return write_files(folder, load_sweeps())[0]


def lower_priority() -> None:
    """Let the trials go first."""
    os.nice(NICENESS)
