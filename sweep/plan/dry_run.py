"""Describe what a launch would do, in at most fifteen lines, for `--dry-run`; nothing is written or started."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.config.search_schema import Choices, Range
from sweep.plan.launch_plan import LaunchPlan
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import format_setting, format_value
from sweep.redaction import redact
from sweep.tracking.address import get_tracking_uri

if TYPE_CHECKING:
    from sweep.prepare.budget import Budget
    from sweep.prepare.cost import Speed


def describe_launch(wanted: LaunchPlan, command: str) -> str:
    """Describe the sweeps of a command, what they need and where their files go.

    Args:
        wanted: the plan.
        command: the command that starts them.
    """
    lines = _describe_comparison(wanted) if wanted.is_comparison else _describe_sweep(wanted.plans[0])
    files = f"files: {wanted.folder}; MLflow: {redact(get_tracking_uri())}"
    return "\n".join([*lines, files, f"start: {command}"])


def _describe_sweep(plan: SweepPlan) -> list[str]:
    """Describe one sweep: what is searched, on what, what is to be prepared, and a forecast of what it takes."""
    from sweep.prepare.forecast import forecast_sweep, time_sweep
    from sweep.prepare.sample_row import format_sample_row

    found = forecast_sweep(plan.config, plan.dataset, plan.artifacts)
    forecast = replace(found, budget=_forecast_rest(plan, time_sweep(plan.config, plan.dataset, found.machine)))
    return [
        f"name: {plan.name}",
        f"search: {_describe_search(plan)}",
        f"space: {_describe_space(plan)}; all keys: --cfg job",
        f"trials: {plan.trials_summary}{_describe_finished(plan)}",
        f"rows: {plan.rows_summary}",
        f"row: {format_sample_row(plan.config, plan.dataset)}",
        f"to prepare: {plan.missing_summary}",
        *forecast.lines,
        *(f"note: {note}" for note in plan.notes),
    ]


def _describe_comparison(wanted: LaunchPlan) -> list[str]:
    """Describe a comparison: a line for each sweep, and what all of them take together."""
    from sweep.prepare.budget import summarize_budgets

    kinds = {_find_kind(plan): plan for plan in reversed(wanted.plans)}
    speeds = {kind: _time_plan(plan) for kind, plan in kinds.items()}
    together = summarize_budgets([_forecast_rest(plan, speeds[_find_kind(plan)]) for plan in wanted.plans])
    lines = [*(plan.summary_line for plan in wanted.plans), *(f"note: {note}" for note in wanted.notes)]
    return [f"comparison: {wanted.name}", *lines, together]


def _find_kind(plan: SweepPlan) -> tuple[object, ...]:
    """Return what the speed depends on; objectives differ little in it."""
    return plan.config.model, plan.config.target, plan.config.train


def _time_plan(plan: SweepPlan) -> "Speed | None":
    """Time steps on this machine, if the sweep's trials run on it."""
    from sweep.prepare.forecast import forecast_sweep, time_sweep
    from sweep.prepare.machine import share_machine

    if share_machine(plan.config.cluster, 0) is None:
        return None
    share = forecast_sweep(plan.config, plan.dataset, plan.artifacts).machine
    return time_sweep(plan.config, plan.dataset, share)


def _forecast_rest(plan: SweepPlan, speed: "Speed | None") -> "Budget":
    """Forecast time and disk of the trials that are yet to be run, with this machine's speed where it runs them."""
    from sweep.prepare.cost import estimate_budget

    budget = estimate_budget(plan.config, plan.dataset, plan.artifacts, speed)
    left = None if budget.n_trials is None else max(0, budget.n_trials - _count_finished(plan))
    return replace(budget, n_trials=left)


def _describe_search(plan: SweepPlan) -> str:
    """Describe what is searched on what, and how."""
    from sweep.search.queue import is_in_space
    from sweep.search.samplers import SAMPLERS, choose_sampler

    config = plan.config
    term = "" if config.retain.term == "none" else f" + {config.retain.term}"
    sampler = config.search.sampler
    how = f"auto ({choose_sampler(config, 0)})" if sampler == "auto" else sampler
    n_seeds = config.search.seeds
    seeds = "on one seed" if n_seeds == 1 else f"on {n_seeds} seeds in turn"
    is_first = SAMPLERS[sampler].list_settings is None and is_in_space(config, plan.paper)
    first = f", the paper's {format_setting(plan.paper)} first" if plan.paper is not None and is_first else ""
    return f"{config.objective}{term} on {config.model.name}, {config.data.name}, by {how} {seeds}{first}"


def _describe_space(plan: SweepPlan) -> str:
    """Describe the searched ranges and choices, and the fixed values."""
    searched = [f"{name} {_describe_entry(entry)}" for name, entry in plan.config.space.items()]
    fixed = [f"{name}={format_value(value)}" for name, value in plan.config.fixed.items()]
    return ", ".join([*(searched or ["nothing"]), *([f"fixed {' '.join(fixed)}"] if fixed else [])])


def _describe_entry(entry: Range | Choices) -> str:
    if isinstance(entry, Choices):
        return f"in {', '.join(map(format_value, entry.choices))}"
    step = "" if entry.step is None else f" in steps of {entry.step:g}"
    return f"{entry.low:g} to {entry.high:g}{' (log)' if entry.log else ''}{step}"


def _count_finished(plan: SweepPlan) -> int:
    """Count the trials of a stored sweep that are over; none of a new one."""
    from sweep.search.study import read_records

    if not plan.folder.is_dir():
        return 0
    return sum(record.state in ("finished", "pruned") for record in read_records(plan.config, plan.name))


def _describe_finished(plan: SweepPlan) -> str:
    n = _count_finished(plan)
    return f"; {n} are over already" if n else ""
