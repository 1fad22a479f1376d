"""Outputs of finished sweeps: the files and the report of each, and the tables that are printed."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType

from sweep.plan.launch_plan import Plans
from sweep.plan.sweep_plan import Plan
from sweep.records import Logged, Record
from sweep.report import write_report
from sweep.report.data import Reported
from sweep.results import console_tables, write_results
from sweep.results.recovery import recovery
from sweep.run import Ran
from sweep.tracking.backfill import attach
from sweep.tracking.store import TrackingError


def sweeps(wanted: Plans, ran: Sequence[Ran], total_s: float) -> None:
    """Write the files and reports of the sweeps, log the reports to MLflow and print the tables.

    Args:
        wanted: the plan of the launch.
        ran: the result of each sweep, in the order of the plan.
        total_s: duration of the whole command in seconds.
    """
    for plan, one in zip(wanted.plans, ran, strict=True):
        seconds = write_results.Seconds(prepare=one.prepare_s, sweep=one.trials_s, total=total_s)
        write_results.write(plan.folder, plan.config, one.records, seconds=seconds, logged=one.logged)
        with _told():
            report(plan, one.records, one.logged)
    Console(soft_wrap=True).print(_compared(wanted, ran) if wanted.several else _alone(wanted.plans[0], ran[0]))
    print(f"files:  {wanted.folder}\nreport: {wanted.folder / write_report.PAGE}\nruns:   {ran[0].ui_command}")


def report(plan: Plan, records: Sequence[Record], logged: Logged) -> None:
    """Write a sweep's report, log it as an artifact of the sweep's MLflow run, and set the verdict as tags of the run.

    Raises:
        TrackingError: MLflow refused or could not be reached; the report is written nevertheless.
    """
    written = write_report.write(plan.folder, [_reported(plan, records)])
    found = recovery(plan.config, records)
    tags = {} if found is None else {"recovery": found.verdict, "verdict": found.sentence}
    attach(logged, plan.folder, written, tags)


def _reported(plan: Plan, records: Sequence[Record]) -> Reported:
    return Reported(name=plan.name, config=plan.config, records=records, reference=plan.artifacts.metrics)


def _alone(plan: Plan, ran: Ran) -> RenderableType:
    return console_tables.render(plan.config, ran.records)


def _compared(wanted: Plans, ran: Sequence[Ran]) -> RenderableType:
    """Write the files of the comparison, log its report to each sweep's MLflow run, and return the tables."""
    done = [_reported(plan, one.records) for plan, one in zip(wanted.plans, ran, strict=True)]
    write_results.write_comparison(wanted.folder, done)
    page, *_ = write_report.write(wanted.folder, done)
    with _told():
        for one in ran:
            attach(one.logged, wanted.folder.parent, [page], {"comparison": wanted.name})
    return console_tables.render_comparison(done)


@contextmanager
def _told() -> Iterator[None]:
    """Print a tracking error instead of raising it: the files are in the folder anyway."""
    try:
        yield
    except TrackingError as error:
        print(f"the report is not logged: {error}", file=sys.stderr)
