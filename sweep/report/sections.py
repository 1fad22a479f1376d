"""Build the page's sections: one for each sweep, and one for each model and dataset on which sweeps are compared."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.config.compose import dump
from sweep.redaction import redact
from sweep.report.data import ReportData
from sweep.report.figure import Figure, Table
from sweep.report.finalists.answers import AnsweredRow, build_answered_rows
from sweep.report.finalists.suite_table import build_definition_table, build_suite_table
from sweep.report.g_effect.sections import EffectComparison, compare_g_effects, plot_g_effects
from sweep.report.origin import describe_origin
from sweep.report.plots.curves import plot_curves
from sweep.report.plots.fronts import plot_fronts
from sweep.report.plots.history import plot_history
from sweep.report.plots.importance import plot_importance
from sweep.report.plots.parallel import plot_parallel
from sweep.report.plots.retention import plot_retention
from sweep.report.plots.seeds import plot_race, plot_scores_by_seed, plot_seeds
from sweep.report.plots.slices import plot_slices
from sweep.report.plots.surface import plot_surfaces
from sweep.report.plots.tau_curves import plot_tau_curves
from sweep.report.plots.timeline import plot_timeline
from sweep.report.plots.tradeoff import plot_tradeoff
from sweep.report.side_by_side import SideBySide, build_side_by_side
from sweep.report.tables import build_comparison_table, build_model_table, build_trial_table
from sweep.report.verdict import Evidence, build_evidence
from sweep.results.comparison import WINS, ObjectiveResult, compare_objectives, explain_no_verdict
from sweep.results.notes import list_notes
from sweep.results.statistics import TIED, Finalist
from sweep.results.target_check import warn_of_weak_target
from sweep.search.queue import count_planned_trials, count_search_trials

MAX_KEY_CHARS = 100
"""Maximum length of the key of a comparison's figure."""


@dataclass(frozen=True, kw_only=True)
class SweepSection:
    """The page's section on one sweep.

    Attributes:
        name: name of the sweep.
        title: objective, model and dataset.
        origin: date, duration, code, seed and machine.
        status: progress of the sweep, in one line.
        progress: number of trials that are over, and of all that are planned, while one is running; else None.
        tau: share of the target's retain ES at which the score is measured, in percent.
        warning: sentence on a target that knows little of its rows, else empty.
        notes: sentences that a reader of the numbers has to know.
        evidence: the verdict with its evidence.
        figures: the sweep's plots.
        g_effects: plots of its gradient effects; none where none were measured.
        side_by_side: the trials, of which two are shown beside each other; None with fewer than two.
        trials: table of all trials.
        models: table of the models in the sweep's folder.
        answers: rows with the answers of the target and the finalists, by part.
        suite: table of the full suite.
        definitions: table of the definitions of its metrics.
        config: the resolved configuration as YAML.
    """

    name: str
    title: str
    origin: Sequence[str]
    status: str
    progress: tuple[int, int] | None
    tau: str
    warning: str
    notes: Sequence[str]
    evidence: Evidence
    figures: Sequence[Figure]
    g_effects: Sequence[Figure]
    side_by_side: SideBySide | None
    trials: Table
    models: Table
    answers: Mapping[str, Sequence[AnsweredRow]]
    suite: Table
    definitions: Table
    config: str

    def list_figures(self) -> list[Figure]:
        """List all figures of the section."""
        return [*self.figures, *self.g_effects]


@dataclass(frozen=True, kw_only=True)
class ComparisonSection:
    """The page's section that compares several sweeps on one model and dataset.

    Attributes:
        title: the model and the dataset.
        sentence: the objective that is better than all others, or those that are tied.
        measured_on: the seeds of the table: of the report, or of the search.
        table: one row for each sweep.
        figure: scores of the sweeps over report seeds.
        overlays: their fronts, and their scores over τ, each in one plot.
        g_effects: their gradient effects; None where fewer than two measured them.
    """

    title: str
    sentence: str
    measured_on: str
    table: Table
    figure: Figure
    overlays: Sequence[Figure]
    g_effects: EffectComparison | None

    def list_figures(self) -> list[Figure]:
        """List all figures of the section."""
        return [self.figure, *self.overlays, *(self.g_effects.list_figures() if self.g_effects else ())]


def build_sweep_section(sweep: ReportData) -> SweepSection:
    """Build a sweep's section; passwords in failure reasons and in the study's URL are redacted."""
    ordered = sorted(sweep.records, key=lambda record: (record.phase != "search", record.index))
    safe = replace(sweep, records=[replace(record, reason=redact(record.reason)) for record in ordered])
    config = safe.config
    return SweepSection(
        name=safe.name,
        title=f"{config.objective} on {config.model.name}, {config.data.name}",
        origin=describe_origin(safe),
        status=describe_status(safe),
        progress=measure_progress(safe),
        tau=f"{100 * config.score.tau:g}\N{NO-BREAK SPACE}%",
        warning=warn_of_weak_target(safe.target_metrics),
        notes=list_notes(config, safe.n_holdout),
        evidence=build_evidence(safe),
        figures=plot_sweep(safe),
        g_effects=plot_g_effects(safe),
        side_by_side=build_side_by_side(safe),
        trials=build_trial_table(safe),
        models=build_model_table(safe),
        answers=build_answered_rows(safe),
        suite=(suite := build_suite_table(safe)),
        definitions=build_definition_table(suite),
        config=dump(config),
    )


def plot_sweep(sweep: ReportData) -> list[Figure]:
    """Plot a sweep; the figures are in the order of the page."""
    return [
        plot_seeds(sweep),
        plot_race(sweep),
        plot_tradeoff(sweep),
        plot_retention(sweep),
        plot_curves(sweep),
        plot_parallel(sweep),
        *plot_slices(sweep),
        plot_importance(sweep),
        *plot_surfaces(sweep),
        plot_history(sweep),
        plot_timeline(sweep),
    ]


def describe_status(sweep: ReportData) -> str:
    """Describe the progress of a sweep in one line."""
    over = Counter(record.phase for record in sweep.records if record.state != "running")
    running = sum(record.state == "running" for record in sweep.records)
    wanted = count_search_trials(sweep.config)
    begin = f"Running, {running} under way: " if running else ""
    of = "" if wanted is None else f" of {wanted}"
    return (
        f"{sweep.name}: {begin}{over['search']}{of} trials of the search, {over['race']} runs of the race and"
        f" {over['finalist']} on report seeds are over."
    )


def measure_progress(sweep: ReportData) -> tuple[int, int] | None:
    """Return how many trials of a running sweep are over, of how many; None if none is running, or hours limit it."""
    planned = count_planned_trials(sweep.config, sweep.paper)
    over = sum(record.state != "running" for record in sweep.records)
    return None if planned is None or over == len(sweep.records) else (over, planned)


def build_comparison_sections(sweeps: Sequence[ReportData]) -> list[ComparisonSection]:
    """Build the sections that compare sweeps; none for a single sweep."""
    by_name = {sweep.name: sweep for sweep in sweeps}
    groups = compare_objectives(sweeps) if len(sweeps) > 1 else []
    return [_build_comparison_section(group, by_name) for group in groups]


def _build_comparison_section(group: Sequence[ObjectiveResult], by_name: Mapping[str, ReportData]) -> ComparisonSection:
    where = f"{group[0].model}, {group[0].data}"
    often = Counter(one.objective for one in group)
    results = {one.objective if often[one.objective] == 1 else one.name: one for one in group}
    own = {label: by_name[one.name] for label, one in results.items()}
    settings = [
        Finalist(label=label, setting=one.setting or {}, scores=one.scores, difference=one.difference)
        for label, one in results.items()
    ]
    return ComparisonSection(
        title=f"Objectives on {where}",
        sentence=_describe_winner(group),
        measured_on=group[0].measured_on,
        table=build_comparison_table(group),
        figure=plot_scores_by_seed(
            _sanitize_key(f"objectives-{group[0].model}-{group[0].data}"),
            settings,
            group[0].measured_on,
            _describe_winner(group),
        ),
        overlays=[
            plot_fronts(_sanitize_key(f"fronts-{group[0].model}-{group[0].data}"), own),
            plot_tau_curves(_sanitize_key(f"tau-curves-{group[0].model}-{group[0].data}"), own, results),
        ],
        g_effects=compare_g_effects(_sanitize_key(f"g-effects-{group[0].model}-{group[0].data}"), own, results),
    )


def _sanitize_key(text: str) -> str:
    """Turn a text into a key that is valid as a file name and as an element's id."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)[:MAX_KEY_CHARS]


def _describe_winner(group: Sequence[ObjectiveResult]) -> str:
    winner = next((one.objective for one in group if one.verdict == WINS), None)
    tied = [one.objective for one in group if one.verdict == TIED]
    if winner:
        return f"{winner} is better than all others."
    if tied:
        return f"No objective is better than all others; tied at the top: {', '.join(tied)}."
    why = explain_no_verdict(group)
    return f"{why[0].upper()}{why[1:]}."
