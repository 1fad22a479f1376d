"""Run a sweep, or several to compare: from config files to the best settings of unlearning objectives.

python -m sweep.launch configs/wtnpo.yaml
"""

import shlex
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep import status
from sweep.errors import BrokenOffError, Interrupted
from sweep.signals import InterruptHandler, enable_fast_exit, stdout_closed

if TYPE_CHECKING:
    from sweep.plan.launch_plan import LaunchPlan


# Slow imports stand where they are used: --help and errors need not wait for them, and Ctrl-C works from the start.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    began, line = time.monotonic(), [*(sys.argv[1:] if argv is None else argv)]
    from eval.rows.types import DataError
    from sweep.errors import ConfigError
    from sweep.redaction import to_single_line
    from sweep.shell.arguments import parse_arguments

    try:
        typed = parse_arguments(line)
        if typed.cfg:
            from sweep.config.request import dump_configs

            print(dump_configs(typed.words, typed.name, typed.resume), end="", flush=True)
            return 0
        status.say_on_terminal("reading the configuration")
        from sweep.plan import hub_commits, launch_plan

        wanted = (
            launch_plan.plan_resume(typed.words, typed.resume)
            if typed.resume
            else launch_plan.plan_new(typed.words, typed.name)
        )
        if typed.dry_run:
            from sweep.plan import dry_run

            words = [word for word in line if word != "--dry-run"]
            described = dry_run.describe_launch(wanted, f"python -m sweep.launch {shlex.join(words)}")
            status.end_status()
            print(described, flush=True)
            return 0
        for plan in wanted.plans:
            hub_commits.check_commits(plan.config)
        return run_plan(wanted, began)
    except (ConfigError, DataError) as error:
        print(f"error: {to_single_line(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        stdout_closed()
        return 128 + signal.SIGPIPE
    finally:
        status.end_status()


def run_plan(wanted: "LaunchPlan", began: float) -> int:
    """Run the sweeps, write their files and print the results; return 0 if each has a finished trial, else 1."""
    status.say("loading Ray and MLflow")
    from sweep import outputs, run
    from sweep.atomic_io import translate_disk_full

    with InterruptHandler(lambda: wanted.resume_command) as interrupts:
        try:
            with translate_disk_full(wanted.folder.parent):
                print(*(f"note: {note}\n" for note in wanted.notes), sep="", end="", flush=True)
                ran = run.run_sweeps(wanted.plans, wanted.preparers, interrupts)
                interrupts.raise_on_signal()  # safe: every file is written atomically
                print("writing files and report", flush=True)
                outputs.write_outputs(wanted, ran, time.monotonic() - began)
        except Interrupted as stop:
            print(f"interrupted; to go on: {wanted.resume_command}", file=sys.stderr)
            return 128 + stop.signum
        except BrokenOffError as error:
            print(f"error: {error}; to go on: {wanted.resume_command}", file=sys.stderr)
            return 1
    finished = [any(record.state == "finished" for record in one.records) for one in ran]
    return 0 if all(finished) else 1


if __name__ == "__main__":
    enable_fast_exit()
    status.enable_early_words()
    sys.exit(main())
