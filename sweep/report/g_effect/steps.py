"""Plot gradient effects over the steps of a trial, a line for each setting or objective."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from sweep.records import Risk
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.g_effect.curves import RISKS, EffectCurve, average
from sweep.report.g_effect.scales import TICK_FORMAT, build_symlog
from sweep.report.highlights import DEFAULT_STYLE, find_marker_style
from sweep.report.marks import MARK_LEGEND, Row, build_tooltips, embed_rows, encode_colour, encode_shape
from sweep.report.numbers import format_number
from sweep.report.plots.series import encode_points
from sweep.report.theme import GREY

KEYS = ("which", "step", "objective", "retain term", "whole loss", "seeds")
READINGS: Mapping[Risk, str] = {
    "forget": "Below 0: a step against this gradient raises the risk of the forget rows, which is wanted.",
    "retain": "0 or above: a step against this gradient leaves the risk of the holdout rows as low as it is, which is "
    "wanted; below 0 it raises it.",
}
"""How to read the effects on a risk."""
SCALE_NOTE = "The axis is logarithmic on both sides of 0."
PANEL_HEIGHT_PX = 220
"""Height of one of several small plots."""
TERM_DASHES = {"retain term": [6, 4], "whole loss": [1, 0]}


def plot_effects(key: str, curves: Sequence[EffectCurve], risk: Risk) -> Figure:
    """Plot the effect of the objective on a risk over steps."""
    rows = build_rows(curves, risk)
    seen = f"Effect on the {RISKS[risk]}: {_describe_lowest(rows)}"
    return Figure(
        key=key,
        title=seen,
        note=f"{READINGS[risk]} {SCALE_NOTE}{describe_seeds(curves)}",
        alt=f"Line chart of the objective's gradient effect on the {RISKS[risk]} over steps. {seen}.",
        plot=_draw_lines(curves, rows, ()).properties(height=PLOT_HEIGHT_PX),
        table=Table(columns=KEYS, rows=[list(row.values()) for row in rows]),
    )


def plot_effects_panel(
    key: str, label: str, curves: Sequence[EffectCurve], risk: Risk, ends: Sequence[float]
) -> Figure:
    """Plot the effect of an objective's settings on a risk as one of several small plots.

    Args:
        key: the figure's key.
        label: label of the objective.
        curves: its settings.
        risk: the risk.
        ends: lowest and highest effect of all these plots, which have the same axis.
    """
    rows = build_rows(curves, risk)
    seen = f"{label}, {RISKS[risk]}: {_describe_lowest(rows)}"
    return Figure(
        key=key,
        title=seen,
        note="",
        alt=f"Line chart of the gradient effect on the {RISKS[risk]} over steps. {seen}.",
        plot=_draw_lines(curves, rows, ends).properties(height=PANEL_HEIGHT_PX),
        table=Table(columns=KEYS, rows=[list(row.values()) for row in rows]),
    )


def _describe_lowest(rows: Sequence[Row]) -> str:
    """Describe the lowest effect: `lowest -8.02 after 9 steps, “alpha=0.5”`."""
    lowest = min(rows, key=lambda row: float(str(row["objective"])))
    value = format_number(float(str(lowest["objective"])), 3)
    return f"lowest {value} after {lowest['step']} steps, “{lowest['which']}”"


def plot_terms(key: str, curves: Sequence[EffectCurve], risk: Risk) -> Figure:
    """Plot the effects of the retain term and of the whole loss on a risk over steps."""
    rows = build_rows(curves, risk)
    wanted = [row for row in rows if (float(str(row["whole loss"])) < 0) == (risk == "forget")]
    sign = "below 0" if risk == "forget" else "0 or above"
    seen = f"Whole loss on the {RISKS[risk]}: {sign}, as wanted, at {len(wanted)} of {len(rows)} points"
    long: list[Row] = [
        {"which": row["which"], "step": row["step"], "side": term, "effect": row[term]}
        for row in rows
        for term in TERM_DASHES
    ]
    return Figure(
        key=key,
        title=seen,
        note="Solid: the whole loss, objective and retain term together. Dashed: the retain term alone, with its "
        f"weight. {READINGS[risk]} {SCALE_NOTE}",
        alt=f"Line chart of the gradient effects of retain term and whole loss on the {RISKS[risk]}. {seen}.",
        plot=_draw_terms(curves, long),
        table=Table(columns=KEYS, rows=[list(row.values()) for row in rows]),
    )


def build_rows(curves: Sequence[EffectCurve], risk: Risk) -> list[Row]:
    """Build a row for each setting and step, with the means over its runs."""
    rows: list[Row] = []
    for curve in curves:
        for step, effects in curve.steps.items():
            objective, retain = average(effects, risk), average(effects, risk, "retain_term")
            values = (curve.label, step, objective, retain, objective + retain, len(effects))
            rows.append(dict(zip(KEYS, values, strict=True)))
    return rows


def describe_seeds(curves: Sequence[EffectCurve]) -> str:
    """Describe over how many report seeds the lines are means, as the end of a note; empty for single runs."""
    seeds = max(len(curve.runs) for curve in curves)
    return f" Mean over {seeds} seeds." if seeds > 1 else ""


def encode_lines(curves: Sequence[EffectCurve], rows: Sequence[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encode the labels of lines and of points: by their own styles where all have one, else as a series."""
    labels = [curve.label for curve in curves]
    styles = [find_marker_style(label) for label in labels]
    if DEFAULT_STYLE in styles or any(styles.count(style) > 1 for style in styles):
        found = encode_points(labels)
    else:
        found = {"color": encode_colour(rows), "shape": encode_shape(rows)}
    encoded = {channel: encoding.legend(MARK_LEGEND) for channel, encoding in found.items()}
    return {"color": encoded["color"]}, encoded


def _encode_step() -> alt.X:
    axis = alt.Axis(format="d", tickMinStep=1, grid=False)
    return alt.X("step:Q", title="steps taken", axis=axis, scale=alt.Scale(padding=10, nice=False))


def _encode_effect(name: str, values: Sequence[float]) -> alt.Y:
    scale, ticks = build_symlog(values)
    scale.domain = [min([*values, 0.0]), max([*values, 0.0])]
    return alt.Y(f"{name}:Q", title="gradient effect", scale=scale, axis=alt.Axis(values=ticks, format=TICK_FORMAT))


def _draw_zero() -> alt.Chart:
    rule: alt.Chart = alt.Chart(embed_rows([{"zero": 0}])).mark_rule(color=GREY, strokeWidth=1.5)
    return rule.encode(y=alt.Y("zero:Q", title="gradient effect"))


def _draw_lines(curves: Sequence[EffectCurve], rows: Sequence[Row], ends: Sequence[float]) -> Plot:
    x, chart = _encode_step(), alt.Chart(embed_rows(rows))
    y = _encode_effect("objective", [*(float(str(row["objective"])) for row in rows), *ends])
    line, point = encode_lines(curves, rows)
    return alt.layer(
        _draw_zero(),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, **line),
        chart.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, tooltip=build_tooltips(KEYS), **point),
    )


def _draw_terms(curves: Sequence[EffectCurve], rows: Sequence[Row]) -> Plot:
    x, chart = _encode_step(), alt.Chart(embed_rows(rows))
    y = _encode_effect("effect", [float(str(row["effect"])) for row in rows])
    line, point = encode_lines(curves, rows)
    dash = alt.StrokeDash("side:N", scale=alt.Scale(domain=[*TERM_DASHES], range=[*TERM_DASHES.values()]), legend=None)
    tooltip = build_tooltips(("which", "side", "step", "effect"))
    return alt.layer(
        _draw_zero(),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, strokeDash=dash, **line),
        chart.mark_point(filled=True, size=35, opacity=1).encode(x=x, y=y, tooltip=tooltip, **point),
    ).properties(height=PLOT_HEIGHT_PX)
