"""Build the page's sections: one for each sweep, and one for each model and dataset on which sweeps are compared."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweep.config.compose import dump
from sweep.redaction import redact
from sweep.report.data import Reported
from sweep.report.figure import Figure, Table
from sweep.report.plots.history import history
from sweep.report.plots.importance import importance
from sweep.report.plots.retention import retention
from sweep.report.plots.seeds import over_seeds, seeds
from sweep.report.plots.slices import slices
from sweep.report.plots.surface import surfaces
from sweep.report.plots.timeline import timeline
from sweep.report.plots.tradeoff import tradeoff
from sweep.report.tables import standing, trials
from sweep.report.verdict import Evidence, evidence
from sweep.results.comparison import WINS, Standing, standings
from sweep.results.statistics import TIED, Finalist
from sweep.search.paper import paper_setting
from sweep.search.queue import searched

LONGEST = 100
"""Maximum length of the key of a comparison's figure."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The page's section on one sweep.

    Attributes:
        name: name of the sweep.
        title: objective, model and dataset.
        status: progress of the sweep, in one line.
        evidence: the verdict with its evidence.
        figures: the sweep's plots.
        trials: table of all trials.
        config: the resolved configuration as YAML.
    """

    name: str
    title: str
    status: str
    evidence: Evidence
    figures: Sequence[Figure]
    trials: Table
    config: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The page's section that compares several sweeps on one model and dataset.

    Attributes:
        title: the model and the dataset.
        sentence: the objective that wins, or those that are tied.
        table: one row for each sweep.
        figure: scores of the sweeps over fresh seeds.
    """

    title: str
    sentence: str
    table: Table
    figure: Figure


def section(sweep: Reported) -> Section:
    """Build a sweep's section; passwords in failure reasons and in the study's URL are redacted."""
    ordered = sorted(sweep.records, key=lambda record: (record.phase != "search", record.index))
    safe = replace(sweep, records=[replace(record, reason=redact(record.reason)) for record in ordered])
    config = safe.config
    return Section(
        name=safe.name,
        title=f"{config.objective} on {config.model.name}, {config.data.name}",
        status=status(safe),
        evidence=evidence(safe),
        figures=figures(safe),
        trials=trials(safe),
        config=dump(config),
    )


def figures(sweep: Reported) -> list[Figure]:
    """Plot a sweep; the figures are in the order of the page."""
    return [
        tradeoff(sweep),
        retention(sweep),
        seeds(sweep),
        importance(sweep),
        *slices(sweep),
        *surfaces(sweep),
        history(sweep),
        timeline(sweep),
    ]


def status(sweep: Reported) -> str:
    """Describe the progress of a sweep in one line."""
    over = Counter(record.phase for record in sweep.records if record.state != "running")
    running = sum(record.state == "running" for record in sweep.records)
    wanted = searched(sweep.config, paper_setting(sweep.config))
    begin = f"Running, {running} under way: " if running else ""
    of = "" if wanted is None else f" of {wanted}"
    return f"{sweep.name}: {begin}{over['search']}{of} trials of the search and {over['finalist']} repeats are over."


def comparisons(sweeps: Sequence[Reported]) -> list[Comparison]:
    """Build the sections that compare sweeps; none for a single sweep."""
    return [_comparison(group) for group in standings(sweeps)] if len(sweeps) > 1 else []


def _comparison(group: Sequence[Standing]) -> Comparison:
    where = f"{group[0].model}, {group[0].data}"
    often = Counter(one.objective for one in group)
    settings = [
        Finalist(
            label=one.objective if often[one.objective] == 1 else one.name,
            setting=one.setting or {},
            scores=one.scores,
            difference=one.difference,
        )
        for one in group
    ]
    return Comparison(
        title=f"Objectives on {where}",
        sentence=_outcome(group),
        table=standing(group),
        figure=over_seeds(_key(f"objectives-{group[0].model}-{group[0].data}"), settings),
    )


def _key(text: str) -> str:
    """Turn a text into a key that is valid as a file name and as an element's id."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)[:LONGEST]


def _outcome(group: Sequence[Standing]) -> str:
    winner = next((one.objective for one in group if one.verdict == WINS), None)
    tied = [one.objective for one in group if one.verdict == TIED]
    if winner:
        return f"{winner} wins: all others are behind it."
    return f"No objective wins; tied at the top: {', '.join(tied)}." if tied else "There is nothing to compare yet."
