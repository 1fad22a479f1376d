"""Run a sweep, or several to compare: from config files to the best settings of unlearning objectives.

python -m sweep.launch configs/wtnpo.yaml
"""

import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.errors import BrokenOffError, Interrupted
from sweep.signals import Interrupts, exit_at_once, unread

if TYPE_CHECKING:
    from sweep.plan.launch_plan import Plans


# Slow imports stand where they are used: --help and errors need not wait for them, and Ctrl-C works from the start.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    began = time.monotonic()
    from eval.rows.types import DataError
    from sweep.cli import parse
    from sweep.errors import ConfigError
    from sweep.redaction import line

    try:
        typed = parse(argv)
        from sweep.plan import launch_plan

        wanted = (
            launch_plan.again(typed.words, typed.resume) if typed.resume else launch_plan.asked(typed.words, typed.name)
        )
        if typed.dry_run:
            print(wanted, flush=True)
            return 0
        return run(wanted, began)
    except (ConfigError, DataError) as error:
        print(f"error: {line(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        unread()
        return 128 + signal.SIGPIPE


def run(wanted: "Plans", began: float) -> int:
    """Run the sweeps, write their files and print the results; return 0 if each has a finished trial, else 1."""
    from sweep import outputs, run
    from sweep.atomic_io import room_in

    with Interrupts(lambda: wanted.again) as interrupts:
        try:
            with room_in(wanted.folder.parent):
                ran = run.run(wanted.works, interrupts)
                interrupts.raise_at_once()  # safe: every file is written atomically
                outputs.sweeps(wanted, ran, time.monotonic() - began)
        except Interrupted as stop:
            print(f"interrupted; to go on: {wanted.again}", file=sys.stderr)
            return 128 + stop.signum
        except BrokenOffError as error:
            print(f"error: {error}; to go on: {wanted.again}", file=sys.stderr)
            return 1
    finished = [any(record.state == "finished" for record in one.records) for one in ran]
    return 0 if all(finished) else 1


if __name__ == "__main__":
    exit_at_once()
    sys.exit(main())
