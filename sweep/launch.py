"""Run a sweep, or several that are compared: from config files to the best settings of unlearning objectives.

python -m sweep.launch configs/wtnpo.yaml
"""

import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eval.data import DataError
from sweep.arguments import parse
from sweep.config import ConfigError

if TYPE_CHECKING:
    from sweep.plans import Plans

# What takes long to import is imported where it is used: --help and mistakes are answered without waiting for it.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    began = time.monotonic()
    try:
        typed = parse(argv)
        from sweep import plans

        wanted = plans.again(typed.words, typed.resume) if typed.resume else plans.asked(typed.words, typed.name)
        if typed.dry_run:
            print(wanted)
            return 0
        return run(wanted, began)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        return 128 + getattr(stop, "signum", signal.SIGINT)


def run(wanted: "Plans", began: float) -> int:
    """Run the sweeps, write their files and print what came of them; 0 where a trial of each finished, else 1."""
    from sweep import finish, schedule

    try:
        ran = schedule.run(wanted.works)
    except KeyboardInterrupt:
        print(f"interrupted; to go on: {wanted.again}")
        raise
    finish.sweeps(wanted, ran, time.monotonic() - began)
    finished = [any(record.state == "finished" for record in one.records) for one in ran]
    return 0 if all(finished) else 1


if __name__ == "__main__":
    sys.exit(main())
