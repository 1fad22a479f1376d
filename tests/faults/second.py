"""Run two drivers on one sweep: a second beside the first, and two that resume at once after a SIGKILL.

PYTHONPATH=tests python -m faults.second
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.common import RESUME, SWEEP, Outcome, Start, over, show, start, whole
from support.waiting import until
from sweep.plan.launch_plan import CHECKING

REFUSED = "error: name = 'faults': another process is running this sweep.\n"


def beside(here: Path, begin: Start = start) -> None:
    """Check that a second driver is refused while the first is in the search."""
    second = begin(here, *RESUME)
    assert second.end() == 2
    assert second.said().removeprefix(f"{CHECKING}\n") == REFUSED


def at_once(here: Path, begin: Start = start, let_go: Callable[[Path], object] = lambda _: None) -> None:
    """Resume twice at the same moment: one is refused, and the other completes the sweep.

    Args:
        here: the folder in which they run.
        begin: starts them.
        let_go: releases the accepted driver, which else might end before the other one has begun.
    """
    before = over(here)
    both = [begin(here, *RESUME) for _ in range(2)]
    until(lambda: any(one.over for one in both))
    let_go(here)
    assert sorted(one.end() for one in both) == [0, 2], [one.said() for one in both]
    assert any(one.said().endswith(REFUSED) for one in both), [one.said() for one in both]
    whole(here, before=before)


def faults() -> Iterator[Outcome]:
    """Start a second driver beside the first, kill the first, whose lock stays behind, and resume twice at once."""
    with TemporaryDirectory(prefix="faults-") as folder:
        first = start(Path(folder), *SWEEP, "train.epochs=100")  # long enough that the second driver meets it
        first.wait_for("search 0")
        beside(Path(folder))
        yield Outcome(fault="a second driver on a sweep", times=1, held="refused, exit code 2", lost="nothing")
        first.signal(signal.SIGKILL)
        first.code()
        at_once(Path(folder))
        held = "one is refused, the other makes it whole"
        yield Outcome(fault="two resumed at once after SIGKILL", times=1, held=held, lost="the trial under way")


if __name__ == "__main__":
    show(faults())
