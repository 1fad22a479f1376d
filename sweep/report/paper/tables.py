"""Build the tables that a paper takes: of a comparison of objectives, and of the best setting beside the paper's."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import Setting, format_setting
from sweep.report.data import ReportData
from sweep.report.finalists.trials import shorten_label
from sweep.report.highlights import mark_stand_in
from sweep.report.numbers import format_difference
from sweep.report.tables import format_mean_std
from sweep.results.comparison import BEHIND, REPORT, WINS, ObjectiveResult, compare_objectives
from sweep.results.sentences import describe_result
from sweep.results.statistics import (
    TIED,
    Finalist,
    PairedDifference,
    collect_repeat_values,
    mean,
    summarize_finalists,
)

COLUMNS = (
    ("setting",),
    ("forget ES at equal", "retention (score) ↓"),
    ("forget ES", "before mixing ↓"),
    ("retain ES", "before mixing ↑"),
    ("difference to the best,", "95 % interval"),
    ("result",),
)
"""Columns after the first, each with the lines of its heading."""
RESULTS = {WINS: "best", TIED: "tied", BEHIND: "worse"}
"""Result in words, by a comparison's verdict."""
EXPLANATION = (
    "The score is the forget ES (extraction strength) at equal retention: the unlearned weights are mixed back towards "
    "the target until {tau:g} % of its retain ES is kept; lower is better. Before mixing: the unlearned weights "
    "themselves. Mean ± standard deviation over {n} {measured_on} seeds. "
)


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A row of a table.

    Attributes:
        name: the objective or the setting.
        setting: the hyper-parameters.
        numbers: score, forget ES and retain ES, and the difference to the best, as text.
        result: the result in words; a best one has its score in bold.
    """

    name: str
    setting: str
    numbers: Sequence[str]
    result: str


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table with its caption.

    Attributes:
        key: letters, digits and hyphens that identify it.
        caption: what it shows.
        first: heading of the first column.
        rows: the best first.
    """

    key: str
    caption: str
    first: str
    rows: Sequence[PaperRow]


def build_comparison_tables(sweeps: Sequence[ReportData]) -> list[PaperTable]:
    """Build a table of the objectives for each model and dataset."""
    taus = {sweep.name: sweep.config.score.tau for sweep in sweeps}
    return [_build_comparison_table(group, taus[group[0].name]) for group in compare_objectives(sweeps)]


def _build_comparison_table(group: Sequence[ObjectiveResult], tau: float) -> PaperTable:
    n, where = max(len(one.scores) for one in group), f"{group[0].model}, {group[0].data}"
    how = EXPLANATION.format(tau=100 * tau, n=n, measured_on=group[0].measured_on)
    bold = "Bold: best, where all others are worse (paired t-tests with Holm's correction, p up to 0.05)."
    often = Counter(one.objective for one in group)
    ordered = sorted((one for one in group if one.scores), key=lambda one: mean(one.scores))
    return PaperTable(
        key=_sanitize_key(f"comparison-{group[0].model}-{group[0].data}"),
        caption=f"Objectives on {where}. {how}{bold}",
        first="objective",
        rows=[
            PaperRow(
                name=one.objective if often[one.objective] == 1 else one.name,
                setting=format_setting(one.setting or {}),
                numbers=[
                    *map(format_mean_std, (one.scores, one.forget_es, one.retain_es)),
                    format_difference(one.difference),
                ],
                result=RESULTS.get(one.verdict, ""),
            )
            for one in [*ordered, *(one for one in group if not one.scores)]
        ],
    )


def build_result_table(sweep: ReportData) -> PaperTable:
    """Build the table of a sweep's best setting beside the paper's; no rows before one has run on report seeds."""
    config = sweep.config
    found = [one for one in summarize_finalists(sweep) if one.scores]
    results = _judge_finalists(found)
    how = EXPLANATION.format(
        tau=100 * config.score.tau, n=max((len(one.scores) for one in found), default=0), measured_on=REPORT
    )
    bold = "Bold: best, where the paired 95 % interval of the difference excludes 0."
    return PaperTable(
        key=_sanitize_key(f"result-{sweep.name}"),
        caption=f"{describe_result(sweep)} {how}{bold}",
        first="",
        rows=[
            PaperRow(
                name=mark_stand_in(shorten_label(one.label), config),
                setting=format_setting(one.setting),
                numbers=[*_list_means(sweep, one.setting, one.scores), format_difference(one.difference)],
                result=results[one.label],
            )
            for one in sorted(found, key=lambda one: one.difference is not None)
        ],
    )


def _list_means(sweep: ReportData, setting: Setting, scores: Mapping[int, float]) -> list[str]:
    sides = [collect_repeat_values(sweep.records, setting, key) for key in ("forget/es", "retain/es")]
    return [format_mean_std(by_seed) for by_seed in (scores, *sides)]


def _judge_finalists(found: Sequence[Finalist]) -> dict[str, str]:
    """Return each finalist's result, by label: `best` or `worse` where the interval excludes 0, else `tied`."""
    others = [one for one in found if one.difference is not None]
    results = {one.label: _judge_difference(one.difference) for one in others if one.difference is not None}
    words = {*results.values()}
    first = "worse" if "best" in words else "tied" if "tied" in words else "best" if words else ""
    return {one.label: results.get(one.label, first) for one in found}


def _judge_difference(gap: PairedDifference) -> str:
    return "tied" if gap.is_tied else "worse" if gap.mean > 0 else "best"


def _sanitize_key(text: str) -> str:
    """Return the text as a key of letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
