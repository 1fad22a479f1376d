"""What is done once all trials are over: the files and the report of each sweep, and what is printed of them."""

from collections.abc import Sequence

from rich.console import Console

from sweep import results
from sweep.plan import Plan
from sweep.plans import Plans
from sweep.schedule import Ran


def sweeps(wanted: Plans, ran: Sequence[Ran], total_s: float) -> None:
    """Write the files of the sweeps, log the reports, print the tables.

    Args:
        wanted: what was asked for.
        ran: what came of each sweep, in the same order.
        total_s: seconds of the whole command.
    """
    console = Console(soft_wrap=True)
    for plan, one in zip(wanted.plans, ran, strict=True):
        _finish(plan, one, total_s)
        console.print(results.render(plan.config, one.records))
    print(f"files: {wanted.folder}\nruns:  {ran[0].ui_command}")


def _finish(plan: Plan, ran: Ran, total_s: float) -> None:
    seconds = results.Seconds(prepare=ran.prepare_s, sweep=ran.trials_s, total=total_s)
    results.write(plan.folder, plan.config, ran.records, seconds=seconds, logged=ran.logged)
