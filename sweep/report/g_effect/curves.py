"""Choose the settings whose gradient effects are drawn, and average their effects over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from sweep.records import GEffect, Risk, Setting, Term, TermEffect, TrialRecord, format_setting
from sweep.report.data import ReportData
from sweep.report.highlights import find_highlights, mark_stand_in
from sweep.results.statistics import summarize_finalists
from sweep.results.sweep_records import SweepRecords

RISKS: Mapping[Risk, str] = {"forget": "forget risk", "retain": "retain risk"}
"""Names of the risks: mean cross-entropy of forget rows, and of holdout rows."""
MAX_LISTED = 9
"""Settings of which each has a line where a sweep compares a few and chooses none."""


@dataclass(frozen=True, kw_only=True)
class EffectCurve:
    """The gradient effects of a setting.

    Attributes:
        label: label of the setting.
        runs: its trials with gradient effects, one for each seed.
    """

    label: str
    runs: Sequence[TrialRecord]

    @cached_property
    def steps(self) -> dict[int, list[GEffect]]:
        """The effects of its runs by step."""
        found = sorted({effect["step"] for run in self.runs for effect in run.g_effects})
        return {
            step: [effect for run in self.runs for effect in run.g_effects if effect["step"] == step] for step in found
        }

    @property
    def has_retain_term(self) -> bool:
        """True if a retain term has an effect."""
        effects = (effect for run in self.runs for effect in run.g_effects)
        return any(one["term"] == "retain_term" for effect in effects for one in effect["effects"])


def list_terms(effects: Sequence[GEffect], risk: Risk, term: Term = "objective") -> list[TermEffect]:
    """List a term's effects on a risk; one for each measurement that has it."""
    return [one for effect in effects for one in effect["effects"] if (one["risk"], one["term"]) == (risk, term)]


def average(effects: Sequence[GEffect], risk: Risk, term: Term = "objective") -> float:
    """Return the mean effect of a term on a risk over measurements; 0 where the term has none, as KL at the target."""
    return fmean(one["whole"] for one in found) if (found := list_terms(effects, risk, term)) else 0.0


def has_g_effects(sweep: SweepRecords) -> bool:
    """Return True if a trial of the sweep has gradient effects."""
    return any(record.g_effects for record in sweep.records)


def choose_curves(sweep: ReportData) -> list[EffectCurve]:
    """Choose the finalists; before they have run, the highlighted trials; where nothing is chosen, all of a few."""
    if (listed := _list_settings(sweep)) is not None:
        return listed
    runs = [r for r in sweep.records if r.phase == "finalist" and r.state == "finished"]
    finalists = [
        EffectCurve(label=mark_stand_in(one.label, sweep.config), runs=[r for r in runs if r.setting == one.setting])
        for one in sorted(summarize_finalists(sweep), key=lambda one: not one.label.startswith("best"))
    ]
    trials = [EffectCurve(label=one.label, runs=[one.record]) for one in find_highlights(sweep)]
    return _keep_measured(finalists) or _keep_measured(trials)


def collect_best(sweep: ReportData, setting: Setting | None, label: str) -> EffectCurve:
    """Collect the runs of a setting on report seeds, before these have run its trials of the search."""
    runs = [r for r in sweep.records if r.setting == setting and r.state == "finished" and r.g_effects]
    repeats = [r for r in runs if r.phase == "finalist"]
    return EffectCurve(label=label, runs=repeats or [r for r in runs if r.phase == "search"])


def name_setting(sweep: SweepRecords, setting: Setting) -> str:
    """Name a setting by what is searched; by its objective where nothing is."""
    return format_setting({name: setting[name] for name in sweep.config.space}) or sweep.config.objective


def _keep_measured(curves: Sequence[EffectCurve]) -> list[EffectCurve]:
    return [curve for curve in curves if any(run.g_effects for run in curve.runs)]


def _list_settings(sweep: ReportData) -> list[EffectCurve] | None:
    """List the settings of a sweep that has no race and no report; None for all others, and for more than a few."""
    if sweep.config.search.race or sweep.config.seeds:
        return None
    by_label: dict[str, list[TrialRecord]] = {}
    for record in sorted(sweep.ranking, key=lambda record: [(str(type(v)), v) for v in record.setting.values()]):
        by_label.setdefault(name_setting(sweep, record.setting), []).append(record)
    if len(by_label) > MAX_LISTED:
        return None
    return _keep_measured([EffectCurve(label=label, runs=runs) for label, runs in by_label.items()])
