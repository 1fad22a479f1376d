"""Build the verdict at the top of a sweep's section: found and paper's setting, and the commands that rerun them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import Setting
from sweep.report.data import ReportData
from sweep.report.figure import Cell, Table
from sweep.report.numbers import format_difference
from sweep.report.tables import format_mean_std
from sweep.results.recovery import Recovery, judge_recovery
from sweep.results.rerun_configs import format_launch_command, single_trial_configs
from sweep.results.sentences import describe_result
from sweep.results.statistics import PairedDifference, collect_repeat_values

SCORE_ROW = "forget ES at equal retention (the score), lower is better"
DIFFERENCE_ROW = "difference to the best, 95 % interval"
OTHER_METRICS = {"mix": "mix", "forget ES before mixing": "forget/es", "retain ES before mixing": "retain/es"}
"""Further metrics of both settings, by row of the table."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The verdict on a sweep with its evidence.

    Attributes:
        verdict: one or two words.
        qualifiers: limits of the verdict, such as `stand-in`.
        sentence: the verdict with its evidence, for people.
        table: the found setting beside the paper's; only the best setting if the paper has none.
        departures: differences from the paper's recipe.
        commands: shell commands that run one setting again, by the setting's name.
    """

    verdict: str
    qualifiers: Sequence[str]
    sentence: str
    table: Table
    departures: Sequence[str]
    commands: Mapping[str, str]


def build_evidence(sweep: ReportData) -> Evidence:
    """Compare the found setting with the paper's; show only the best if the paper has no setting for this search."""
    known = judge_recovery(sweep)
    return _describe_best(sweep) if known is None else _compare_with_paper(sweep, known)


def _describe_best(sweep: ReportData) -> Evidence:
    return Evidence(
        verdict="best found" if sweep.config.data.paper_split is None else "nothing to recover",
        qualifiers=(),
        sentence=f"{describe_result(sweep)} The paper tuned no setting for this search.",
        table=_build_table(sweep, {"best": sweep.best.setting if sweep.best else {}}, {}, None),
        departures=(),
        commands=_list_commands(sweep),
    )


def _compare_with_paper(sweep: ReportData, known: Recovery) -> Evidence:
    return Evidence(
        verdict=known.verdict,
        qualifiers=known.qualifiers,
        sentence=describe_result(sweep),
        table=_build_table(sweep, {"best": known.found or {}, "paper": known.tuned}, known.distance, known.difference),
        departures=known.departures,
        commands=_list_commands(sweep),
    )


def _build_table(
    sweep: ReportData,
    sides: Mapping[str, Setting],
    distance: Mapping[str, float],
    difference: PairedDifference | None,
) -> Table:
    """Build the table: the score, then hyper-parameters, then other metrics; a column for each setting."""
    names = list(dict.fromkeys(name for setting in sides.values() for name in setting))
    rows: list[list[Cell]] = [[SCORE_ROW, *(_format_metric(sweep, setting, "score") for setting in sides.values())]]
    if difference is not None:
        rows += [[DIFFERENCE_ROW, "", format_difference(difference)]]
    rows += [["measured on", *(_name_seeds(sweep, setting) for setting in sides.values())]]
    rows += [[name, *(setting.get(name) for setting in sides.values())] for name in names]
    rows += [
        [name, *(_format_metric(sweep, setting, key) for setting in sides.values())]
        for name, key in OTHER_METRICS.items()
    ]
    if not distance:
        return Table(columns=("", *sides), rows=rows)
    apart = [[*row, _format_share(distance[str(row[0])]) if row[0] in distance else ""] for row in rows]
    return Table(columns=("", *sides, "distance"), rows=apart)


def _format_metric(sweep: ReportData, setting: Setting, key: str) -> str:
    """Format a metric of a setting: mean ± std over report seeds, before these have run that of its search trial."""
    trial = sweep.find_search_trial(setting)
    alone = {} if trial is None or key not in trial.metrics else {trial.seed: trial.metrics[key]}
    is_repeated = bool(collect_repeat_values(sweep.records, setting))
    return format_mean_std(collect_repeat_values(sweep.records, setting, key) if is_repeated else alone)


def _name_seeds(sweep: ReportData, setting: Setting) -> str:
    """Name the seeds on which the metrics of a setting were measured."""
    if n_seeds := len(collect_repeat_values(sweep.records, setting)):
        return f"{n_seeds} report seed{'' if n_seeds == 1 else 's'}"
    trial = sweep.find_search_trial(setting)
    return "-" if trial is None else f"trial {trial.index} alone"


def _format_share(distance: float) -> str:
    return f"{distance:.0%}" if math.isfinite(distance) else "-"


def _list_commands(sweep: ReportData) -> dict[str, str]:
    """List the rerun commands whose files exist; the files are written when the sweep is over."""
    files = [sweep.config.storage / sweep.name / file for file in single_trial_configs(sweep)]
    return {file.stem: format_launch_command(file) for file in files if file.is_file()}
