"""What the page says: a section for each sweep, and one for each model and dataset on which several are compared."""

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
"""Letters of a key."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What the page says of one sweep.

    Attributes:
        name: the sweep's.
        title: what was swept.
        status: how far it is.
        evidence: the verdict on it.
        figures: its plots.
        trials: all of its trials.
        config: its resolved configuration.
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
    """What the page says of several sweeps on one model and dataset.

    Attributes:
        title: the model and the dataset.
        sentence: who wins.
        table: a line for each sweep.
        figure: their scores.
    """

    title: str
    sentence: str
    table: Table
    figure: Figure


def section(sweep: Reported) -> Section:
    """One sweep, without the passwords that a reason or the ledger's URL may hold."""
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
    """The plots of a sweep, in the order of the page."""
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
    """How far the sweep is, in one line."""
    over = Counter(record.phase for record in sweep.records if record.state != "running")
    running = sum(record.state == "running" for record in sweep.records)
    wanted = searched(sweep.config, paper_setting(sweep.config))
    begin = f"Running, {running} under way: " if running else ""
    of = "" if wanted is None else f" of {wanted}"
    return f"{sweep.name}: {begin}{over['search']}{of} trials of the search and {over['finalist']} repeats are over."


def comparisons(sweeps: Sequence[Reported]) -> list[Comparison]:
    """Sweeps side by side, where there are several."""
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
    """A text as a file and an element of the page may be called."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)[:LONGEST]


def _outcome(group: Sequence[Standing]) -> str:
    winner = next((one.objective for one in group if one.verdict == WINS), None)
    tied = [one.objective for one in group if one.verdict == TIED]
    if winner:
        return f"{winner} wins: all others are behind it."
    return f"No objective wins; tied at the top: {', '.join(tied)}." if tied else "There is nothing to compare yet."
