"""Outputs of finished sweeps: the files and the report of each, and the tables that are printed."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType

from sweep.export.cards import write_cards
from sweep.plan.launch_plan import LaunchPlan
from sweep.plan.sweep_plan import SweepPlan
from sweep.records import TrackingRun, TrialRecord, format_bytes
from sweep.report import write_report
from sweep.report.data import ReportData
from sweep.results import console_tables, write_results
from sweep.results.recovery import judge_recovery
from sweep.results.result_text import describe_sweep
from sweep.results.saved_models import CARD_FILE, SavedModel, read_models
from sweep.results.sentences import list_warnings
from sweep.results.sweep_records import SweepRecords
from sweep.results.target_check import warn_of_weak_target
from sweep.run import SweepResult
from sweep.search.study import read_revisions
from sweep.tracking.backfill import attach_files, describe_result, mark_uncounted
from sweep.tracking.logged_models import ModelEntry, log_models
from sweep.tracking.store import TrackingError
from sweep.tracking.views import print_ui_lines

PLAIN_WIDTH = 80
"""Columns of a result as text."""


def write_outputs(wanted: LaunchPlan, ran: Sequence[SweepResult], total_s: float) -> None:
    """Write the files and reports of the sweeps, log the reports to MLflow and print the tables.

    Args:
        wanted: the plan of the launch.
        ran: the result of each sweep, in the order of the plan.
        total_s: duration of the whole command in seconds.
    """
    for plan, one in zip(wanted.plans, ran, strict=True):
        seconds = write_results.SweepSeconds(prepare=one.prepare_s, sweep=one.trials_s, total=total_s)
        known = {"metrics": plan.artifacts.reference_metrics, "base": plan.artifacts.base_metrics}
        models = read_models(plan.folder)
        write_cards(plan, one, models)
        write_results.write_sweep_files(
            plan.folder, one, seconds=seconds, logged=one.tracking_run, target=known, models=models
        )
        with _warn_on_tracking_error():
            publish_report(plan, one.records, one.tracking_run)
    print_result(_publish_comparison(wanted, ran) if wanted.is_comparison else render_result(wanted.plans[0], ran[0]))
    for model in [model for plan in wanted.plans for model in read_models(plan.folder)]:
        print(f"model:  {model.folder} ({format_bytes(model.size)})")
    print(f"files:  {wanted.folder}\nreport: {wanted.folder / write_report.PAGE_FILE}")
    print_ui_lines([one.ui_lines for one in ran])


def render_result(plan: SweepPlan, sweep: SweepRecords) -> RenderableType:
    """Render a sweep's result beside its target."""
    return console_tables.render_sweep(sweep, plan.artifacts.reference_metrics, len(plan.dataset.holdout))


def print_result(result: RenderableType) -> None:
    """Print a result; sentences break between words on a terminal, and stay one line each in a pipe or a file."""
    console = Console()
    if console.is_terminal:
        console.print(result)
    else:
        print(format_result(result))


def format_result(result: RenderableType) -> str:
    """Format a result as the text that a pipe would get."""
    console = Console(file=io.StringIO(), width=PLAIN_WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(result, soft_wrap=True)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def publish_report(plan: SweepPlan, records: Sequence[TrialRecord], tracking_run: TrackingRun) -> None:
    """Write a sweep's report, log it as an artifact of the sweep's MLflow run, and set its tags and description.

    Raises:
        TrackingError: MLflow refused or could not be reached; the report is written nevertheless.
    """
    sweep = _build_report_data(plan, records)
    written, found = write_report.write_files(plan.folder, [sweep]), judge_recovery(sweep)
    tags = {} if found is None else {"recovery": found.verdict, "verdict": found.sentence}
    warning = warn_of_weak_target(sweep.target_metrics)
    attach_files(tracking_run, plan.folder, written, tags | ({"warning": warning} if warning else {}))
    describe_result(tracking_run, describe_sweep(sweep, plan.folder))
    mark_uncounted(tracking_run, sweep.uncounted)
    log_models(tracking_run, [*map(_describe_entry, read_models(plan.folder))], plan.config.registry)


def _describe_entry(model: SavedModel) -> ModelEntry:
    """Describe a saved model for MLflow."""
    return ModelEntry(
        name=model.name,
        trial=f"{model.trial_label} {model.kind} {model.trial['started']}",
        folder=model.folder,
        card=model.folder / CARD_FILE,
        params={key: str(value) for key, value in {**model.record.setting, "mix": model.trial["mix"]}.items()},
        tags={"path": str(model.folder), "bytes": str(model.size), "sweep": str(model.trial["sweep"])},
    )


def _build_report_data(plan: SweepPlan, records: Sequence[TrialRecord]) -> ReportData:
    return ReportData(
        name=plan.name,
        config=plan.config,
        records=records,
        target_metrics=plan.artifacts.reference_metrics,
        n_holdout=len(plan.dataset.holdout),
        n_forget=len(plan.dataset.forget),
        revisions=read_revisions(plan.config, plan.name),
        models=read_models(plan.folder),
    )


def _publish_comparison(wanted: LaunchPlan, ran: Sequence[SweepResult]) -> RenderableType:
    """Write the files of the comparison, log its report to each sweep's MLflow run, and return the tables."""
    done = [_build_report_data(plan, one.records) for plan, one in zip(wanted.plans, ran, strict=True)]
    write_results.write_comparison(wanted.folder, done)
    page, *_ = write_report.write_files(wanted.folder, done)
    with _warn_on_tracking_error():
        for one in ran:
            attach_files(one.tracking_run, wanted.folder.parent, [page], {"comparison": wanted.name})
    warnings = [warning for one in done for warning in list_warnings(one, one.target_metrics, one.n_holdout)]
    return console_tables.render_comparison(done, warnings)


@contextmanager
def _warn_on_tracking_error() -> Iterator[None]:
    """Print a tracking error instead of raising it: the files are in the folder anyway."""
    try:
        yield
    except TrackingError as error:
        print(f"the report is not logged: {error}", file=sys.stderr)
