"""Build the verdict at the top of a sweep's section: found and paper's setting, and the commands that rerun them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import Setting, line
from sweep.report.data import Reported
from sweep.report.figure import Cell, Table
from sweep.report.tables import spread
from sweep.results.recovery import Recovery, recovery
from sweep.results.rerun_configs import alone, command
from sweep.results.statistics import best, repeats

METRICS = {"score": "score", "forget ES": "forget/es", "retain ES": "retain/es"}
"""Metrics that are compared on fresh seeds, by row of the table."""


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


def evidence(sweep: Reported) -> Evidence:
    """Compare the found setting with the paper's; show only the best if the paper has no setting for this search."""
    known = recovery(sweep.config, sweep.records)
    return _alone(sweep) if known is None else _beside(sweep, known)


def _alone(sweep: Reported) -> Evidence:
    winner = best(sweep.records)
    said = "No trial has a score yet" if winner is None else f"Best is {line(winner.setting)}, score {winner.score:.3f}"
    return Evidence(
        verdict="nothing to recover",
        qualifiers=(),
        sentence=f"{said}; the paper tuned no setting for this search.",
        table=_table(sweep, {"best": winner.setting if winner else {}}, {}),
        departures=(),
        commands=_commands(sweep),
    )


def _beside(sweep: Reported, known: Recovery) -> Evidence:
    return Evidence(
        verdict=known.verdict,
        qualifiers=known.qualifiers,
        sentence=known.sentence,
        table=_table(sweep, {"found": known.found or {}, "the paper's": known.tuned}, known.distance),
        departures=known.departures,
        commands=_commands(sweep),
    )


def _table(sweep: Reported, sides: Mapping[str, Setting], distance: Mapping[str, float]) -> Table:
    """Build the table: rows are hyper-parameters, then metrics on fresh seeds; a column for each setting."""
    names = list(dict.fromkeys(name for setting in sides.values() for name in setting))
    values: list[list[Cell]] = [[name, *(setting.get(name) for setting in sides.values())] for name in names]
    metrics: list[list[Cell]] = [
        [name, *(spread(repeats(sweep.records, setting, key)) for setting in sides.values())]
        for name, key in METRICS.items()
    ]
    if not distance:
        return Table(columns=("", *sides), rows=[*values, *metrics])
    apart = [[*row, _share(distance[name])] for name, row in zip(names, values, strict=True)]
    return Table(columns=("", *sides, "distance"), rows=[*apart, *([*row, ""] for row in metrics)])


def _share(distance: float) -> str:
    return f"{distance:.0%}" if math.isfinite(distance) else "-"


def _commands(sweep: Reported) -> dict[str, str]:
    """List the rerun commands whose files exist; the files are written when the sweep is over."""
    files = [sweep.config.storage / sweep.name / file for file in alone(sweep.name, sweep.config, sweep.records)]
    return {file.stem: command(file) for file in files if file.is_file()}
