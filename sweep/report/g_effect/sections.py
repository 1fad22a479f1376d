"""Build the figures and tables under the heading "Gradient effects": of one sweep, and of several that are compared."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.records import Risk
from sweep.report.data import ReportData
from sweep.report.figure import Figure, Table
from sweep.report.g_effect.curves import (
    RISKS,
    EffectCurve,
    average,
    choose_curves,
    collect_best,
    has_g_effects,
)
from sweep.report.g_effect.early import build_correlation_table, plot_early
from sweep.report.g_effect.maps import plot_layers, plot_rows
from sweep.report.g_effect.steps import plot_effects, plot_effects_panel, plot_terms
from sweep.report.g_effect.weights import build_weight_rows, find_last_step, plot_weights, plot_weights_panel
from sweep.results.comparison import ObjectiveResult


@dataclass(frozen=True, kw_only=True)
class EffectComparison:
    """Gradient effects of the objectives of a comparison.

    Attributes:
        overlays: the effects of their best settings over steps, a figure for each risk.
        panels: for each objective the effects of its settings, and their token weights at the end, on equal axes.
        correlations: table of the rank correlations of early effects and scores.
    """

    overlays: Sequence[Figure]
    panels: Sequence[Sequence[Figure]]
    correlations: Table

    def list_figures(self) -> list[Figure]:
        """List all figures."""
        return [*self.overlays, *(figure for panels in self.panels for figure in panels)]


def plot_g_effects(sweep: ReportData) -> list[Figure]:
    """Plot the gradient effects of a sweep; nothing for one that measured none."""
    curves = choose_curves(sweep)
    if not curves:
        return []
    setting = None if sweep.best is None else sweep.best.setting
    best = next((c for c in curves if c.runs[0].setting == setting), curves[0])
    steps = sorted({step for curve in curves for step in curve.steps})
    ends = dict.fromkeys((steps[0], steps[-1]) if build_weight_rows(curves, steps[0]) else steps[:1])
    return [
        *(plot_effects(f"g-effect-{risk}", curves, risk) for risk in RISKS),
        *(
            plot_terms(f"g-effect-terms-{risk}", curves, risk)
            for risk in RISKS
            if any(curve.has_retain_term for curve in curves)
        ),
        *(plot_weights(f"g-effect-weights-{step}", curves, step) for step in ends),
        *(plot_layers(f"g-effect-layers-{risk}", best, risk) for risk in RISKS),
        *(plot_rows(f"g-effect-rows-{risk}", best, risk) for risk in RISKS),
        *(plot_early(sweep, risk) for risk in RISKS),
    ]


def compare_g_effects(
    key: str, sweeps: Mapping[str, ReportData], results: Mapping[str, ObjectiveResult]
) -> EffectComparison | None:
    """Compare the gradient effects of objectives; None where fewer than two measured them.

    Args:
        key: front of the figures' keys.
        sweeps: sweeps on one model and dataset, by label.
        results: their results, by label.
    """
    measured = {label: sweep for label, sweep in sweeps.items() if has_g_effects(sweep)}
    best = [collect_best(sweep, results[label].setting, label) for label, sweep in measured.items()]
    shown = [curve for curve in best if curve.runs]
    if len(shown) < 2:
        return None
    return EffectComparison(
        overlays=[plot_effects(f"{key}-{risk}", shown, risk) for risk in RISKS],
        panels=_plot_panels(key, {label: own for label, sweep in measured.items() if (own := choose_curves(sweep))}),
        correlations=build_correlation_table(measured),
    )


def _plot_panels(key: str, by_label: Mapping[str, Sequence[EffectCurve]]) -> list[list[Figure]]:
    """Plot each objective's settings: their effects on both risks, on equal axes, and their last token weights."""
    ends: dict[Risk, list[float]] = {}
    for risk in RISKS:
        curves = [curve for own in by_label.values() for curve in own]
        values = [average(effects, risk) for curve in curves for effects in curve.steps.values()]
        ends[risk] = [min(values), max(values)]
    weights = [
        float(str(row["90 %"])) for own in by_label.values() for row in build_weight_rows(own, find_last_step(own))
    ]
    return [
        [
            *(plot_effects_panel(f"{key}-{_to_key(label)}-{risk}", label, own, risk, ends[risk]) for risk in RISKS),
            plot_weights_panel(f"{key}-{_to_key(label)}-weights", label, own, max(weights, default=1.0)),
        ]
        for label, own in by_label.items()
    ]


def _to_key(label: str) -> str:
    """Turn a label into a part of a key: `wga + kl` into `wga-kl`."""
    return "-".join(re.findall(r"[\w.]+", label))
