"""Toy sweeps with gradient effects for the tests of the report."""

from dataclasses import replace
from typing import Any

from support.reports import reported
from support.trials import trial
from sweep.records import GEffect, Setting, TermEffect, TrialRecord, WeightBin
from sweep.report.data import ReportData

GALLERY: dict[str, Any] = {
    "space": {"alpha": {"choices": [0.5, 2.0]}, "beta": {"choices": [1.0]}},
    "search": {"sampler": "grid", "race": 0},
}
"""Blocks of a sweep that runs each of two settings once."""


def term(risk: Any, name: Any, layers: list[float], rows: list[float]) -> TermEffect:
    """An effect whose embeddings have -1, and the head 0."""
    thirds = {"embeddings": -1.0, "shallow": layers[0], "middle": layers[1], "deep": layers[2], "head": 0.0}
    return TermEffect(risk=risk, term=name, whole=sum(layers) - 1, parts=thirds, layers=layers, rows=rows)


def measured(step: int, size: float, *, retain: float | None = None, weights: bool = True) -> GEffect:
    """Effects of -size - 1 and size - 1 after a step; of the retain term on the forget risk `retain`."""
    bins = [WeightBin(p=0.0, n=3, mean=0.2, low=0.1, high=0.3), WeightBin(p=0.9, n=9, mean=1.0, low=0.9, high=1.1)]
    effects = [
        term("forget", "objective", [-size, 0.0, 0.0], [-size, -1.0]),
        term("retain", "objective", [0.0, 0.0, size], [0.0, size - 1]),
    ]
    if retain is not None:
        effects.append(term("forget", "retain_term", [retain + 1, 0.0, 0.0], []))
    return GEffect(step=step, effects=effects, rows=[2, 5], weights=bins if weights else [])


def with_effects(record: TrialRecord, *effects: GEffect) -> TrialRecord:
    """The record with these effects."""
    return replace(record, g_effects=[*effects])


def gallery(name: str = "mine", weights: bool = True) -> ReportData:
    """Two settings that ran once each, with effects after 0 and 3 steps."""
    settings: list[Setting] = [{"alpha": 2.0, "beta": 1.0}, {"alpha": 0.5, "beta": 1.0}]
    trials = [
        with_effects(
            trial(i, setting, 0.2 + i / 10),
            measured(0, 1.0, weights=weights),
            measured(3, 10.0 * (i + 1), retain=4.0, weights=weights),
        )
        for i, setting in enumerate(settings)
    ]
    found = reported(*trials, name=name, **GALLERY)
    return replace(found, config=found.config.model_copy(update={"seeds": 0}))
