"""Run a sweep: from a config file to the best setting of an unlearning objective.

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
    from sweep.plan import Plan

# What takes long to import is imported where it is used: --help and mistakes are answered without waiting for it.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    began = time.monotonic()
    try:
        typed = parse(argv)
        from sweep import plan

        wanted = plan.resumed(typed.words, typed.resume) if typed.resume else plan.new(typed.words, typed.name)
        if typed.dry_run:
            print(wanted)
            return 0
        return run(wanted, began)
    except (ConfigError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        return 128 + getattr(stop, "signum", signal.SIGINT)


def run(wanted: "Plan", began: float) -> int:
    """Run the sweep, write its files and print what came of it; 0 where a trial finished, else 1."""
    from rich.console import Console

    from sweep import results, schedule

    config, console = wanted.config, Console(soft_wrap=True)
    try:
        sweep = schedule.run(config, wanted.name, wanted.work, wanted.held)
    except KeyboardInterrupt:
        print(f"interrupted; to go on: {wanted.again}")
        raise
    seconds = results.Seconds(prepare=sweep.prepare_s, sweep=sweep.trials_s, total=time.monotonic() - began)
    results.write(wanted.folder, config, sweep.records, seconds=seconds, logged=sweep.logged)
    console.print(results.render(config, sweep.records))
    print(f"files: {wanted.folder}\nruns:  {sweep.ui_command}")
    return 0 if any(record.state == "finished" for record in sweep.records) else 1


if __name__ == "__main__":
    sys.exit(main())
