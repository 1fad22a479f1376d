"""By how much the time that was left was misjudged, at each twentieth of the second half of a finished sweep.

python tests/timings/time_left.py NAME [storage=DIR]

Replays the recorded trials on as many slots as once ran; it starts and writes nothing. Progress within trials is not
recorded, so that running ones are judged by the others alone.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from sweep.config import stored
from sweep.display.remaining import Run, classify_run, count_remaining
from sweep.display.time_left import OUTPUT_S, estimate_time_left
from sweep.plan import sweep_plan
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import TrialRecord
from sweep.search.study import read_records

STEPS = 20


def recorded(records: Sequence[TrialRecord], at: float) -> list[TrialRecord]:
    """The records as they were at a time."""
    begun = [one for one in records if one.started <= at]
    return [one if one.ended <= at else replace(one, state="running", metrics={}, curve=[], ended=0.0) for one in begun]


def estimated(wanted: SweepPlan, begun: Sequence[TrialRecord], n_slots: int, at: float) -> float | None:
    """The seconds that were left, as they would have been shown."""
    runs = [Run(kind=classify_run(wanted.config, one), record=one) for one in begun]
    return estimate_time_left([count_remaining(wanted.config, wanted.paper, begun, at)], [runs], n_slots, at)


def main() -> None:
    """Print the errors in percent of what was left."""
    name, *words = sys.argv[1:]
    wanted = sweep_plan.plan_stored_sweep(stored.parse_storage(words, "this command"), name)
    records = read_records(wanted.config, name)
    first, end = min(one.started for one in records), max(one.ended for one in records) + OUTPUT_S
    n_slots = max(sum(one.ended == 0 for one in recorded(records, other.started)) for other in records)
    for step in range(STEPS // 2, STEPS):
        at = first + (end - first) * step / STEPS
        left = estimated(wanted, recorded(records, at), n_slots, at)
        error = "unknown" if left is None else f"{100 * (left / (end - at) - 1):+.0f} %"
        print(f"{100 * step // STEPS} %: {end - at:.0f} s were left, {error}")


if __name__ == "__main__":
    main()
