"""How long a search waits for its next setting: at most 0.4 s with 250 finished and 32 running trials, on one thread.

python tests/timings/asking.py [--out asking.json]

The study is on disk, the space is that of configs/wtnpo.yaml with all that `search.also` may add; medians of the
processor's seconds. The first setting of a process also waits for the import of torch, where nothing else needed it.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before either library is imported

import sys
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from common import parser, seconds, show, write
from sweep_overhead import configured, turn

from sweep.search.study import SweepStudy, TrialRequest

BAR_S = 0.4
SAMPLERS = ("gp", "tpe")
CASES = ((24, 2), (100, 8), (250, 32))
"""Finished and running trials."""
ASKED = 7
ALSO = "search.also=[train.lr,retain.weight,train.epochs]"


def ask_seconds(sampler: str, finished: int, running: int) -> float:
    """The median of the seconds that a setting takes, of settings that are asked for one after the other."""
    with TemporaryDirectory(prefix="timings-") as name:
        (Path(name) / "asked").mkdir()
        quick, slow = (
            SweepStudy(configured(Path(name), ALSO, f"search.sampler={one}"), "asked") for one in ("random", sampler)
        )
        for index in range(finished):
            turn(quick, index)
        indices = count(finished)
        for _ in range(running):
            open_next(quick, next(indices))
        open_next(slow, next(indices))  # imports torch
        return median(seconds(lambda: open_next(slow, next(indices))) for _ in range(ASKED))


def open_next(ledger: SweepStudy, index: int) -> None:
    """Ask for a trial, which then runs."""
    ledger.open_attempt(TrialRequest(phase="search", index=index, seed=0, setting=None))


def main() -> int:
    """Measure, print the table, write the JSON file; 1 if the bar is missed."""
    options = parser(__doc__, "asking").parse_args()
    rows = [(one, *case, ask_seconds(one, *case)) for one in SAMPLERS for case in CASES]
    show(f"asking for a setting; bar {BAR_S} s", ("sampler", "finished", "running", "s"), rows)
    write(options.out, {"rows": rows})
    return int(max(row[-1] for row in rows) > BAR_S)


if __name__ == "__main__":
    sys.exit(main())
