"""Plot the weights that an objective gives to tokens over the probability of the token."""

from collections.abc import Sequence
from statistics import fmean

import altair as alt

from sweep.records import WeightBin
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.g_effect.curves import EffectCurve
from sweep.report.g_effect.steps import PANEL_HEIGHT_PX, encode_lines
from sweep.report.marks import Row, build_tooltips, embed_rows

KEYS = ("which", "p", "mean weight", "10 %", "90 %", "tokens")
NOTE = (
    "How hard the objective pushes a token down, over the token's probability p: 1 is gradient ascent. Mean of each "
    "tenth of p, with the band from its 10 % to its 90 % quantile; a larger point has more tokens."
)
NO_WEIGHTS = "none, as the objective's loss does not read the log-probabilities of its tokens"
SMALLEST = 5e-4
"""Weight below which a title says 0."""
BIN_WIDTH = 0.1
SIZES_PX = (20, 260)
"""Areas of the points of the fewest and of the most tokens."""


def plot_weights(key: str, curves: Sequence[EffectCurve], step: int) -> Figure:
    """Plot the mean weight of the tokens in each tenth of the probability, at one step."""
    rows = build_weight_rows(curves, step)
    where = "at the target" if step == 0 else f"after {step} steps"
    seen = f"Token weights {where}: {_describe_ends(rows)}" if rows else f"Token weights: {NO_WEIGHTS}"
    return Figure(
        key=key,
        title=seen,
        note=NOTE,
        alt=f"Line chart of the mean token weight over the probability of the token, {where}. {seen}.",
        plot=_draw_plot(curves, rows).properties(height=PLOT_HEIGHT_PX) if rows else None,
        table=Table(columns=KEYS, rows=[list(row.values()) for row in rows]),
    )


def plot_weights_panel(key: str, label: str, curves: Sequence[EffectCurve], top: float) -> Figure:
    """Plot the token weights of an objective's settings after the last measured step, as one of several small plots.

    Args:
        key: the figure's key.
        label: label of the objective.
        curves: its settings.
        top: highest weight of all these plots, which have the same axis.
    """
    step = find_last_step(curves)
    rows = build_weight_rows(curves, step)
    seen = (
        f"{label}, token weights after {step} steps: {_describe_ends(rows)}"
        if rows
        else f"{label}, token weights: {NO_WEIGHTS}"
    )
    return Figure(
        key=key,
        title=seen,
        note="",
        alt=f"Line chart of the mean token weight over the probability of the token. {seen}.",
        plot=_draw_plot(curves, rows, top).properties(height=PANEL_HEIGHT_PX) if rows else None,
        table=Table(columns=KEYS, rows=[list(row.values()) for row in rows]),
    )


def find_last_step(curves: Sequence[EffectCurve]) -> int:
    """Return the last step at which a setting was measured."""
    return max(step for curve in curves for step in curve.steps)


def _describe_ends(rows: Sequence[Row]) -> str:
    """Describe the mean weights in the lowest and in the highest tenth of p: `0.026 where p < 0.1, 0.97 where p > 0.9`.

    For several settings it is the range of their means.
    """
    places = sorted({float(str(row["p"])) for row in rows})
    low, high = (
        [float(str(row["mean weight"])) for row in rows if row["p"] == place] for place in (places[0], places[-1])
    )
    if (same := _format_range([float(str(row["mean weight"])) for row in rows])) == _format_range(low):
        return f"{same} at all p"
    half = BIN_WIDTH / 2
    first = f"{_format_range(low)} where p < {places[0] + half:.1f}"
    return first if len(places) == 1 else f"{first}, {_format_range(high)} where p > {places[-1] - half:.1f}"


def _format_range(values: Sequence[float]) -> str:
    low, high = (f"{value:.2g}" if value >= SMALLEST else "0" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def build_weight_rows(curves: Sequence[EffectCurve], step: int) -> list[Row]:
    """Build a row for each setting and tenth of p; over several runs means of the bins, and the sum of their tokens."""
    rows: list[Row] = []
    for curve in curves:
        bins = [one for effect in curve.steps.get(step, []) for one in effect["weights"]]
        for p in sorted({one["p"] for one in bins}):
            rows.append(_merge_bins(curve.label, [one for one in bins if one["p"] == p]))
    return rows


def _merge_bins(label: str, bins: Sequence[WeightBin]) -> Row:
    tokens = sum(one["n"] for one in bins)
    return {
        "which": label,
        "p": round(bins[0]["p"] + BIN_WIDTH / 2, 3),
        "mean weight": sum(one["n"] * one["mean"] for one in bins) / tokens,
        "10 %": fmean(one["low"] for one in bins),
        "90 %": fmean(one["high"] for one in bins),
        "tokens": tokens,
    }


def _draw_plot(curves: Sequence[EffectCurve], rows: Sequence[Row], top: float | None = None) -> Plot:
    chart, title = alt.Chart(embed_rows(rows)), "weight of a token"
    x = alt.X(
        "p:Q",
        title="probability p of the token",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="~g", grid=False),
    )
    scale = alt.Scale() if top is None else alt.Scale(domain=[0, top])
    y = alt.Y("mean weight:Q", title=title, scale=scale)
    shown = [curve for curve in curves if any(row["which"] == curve.label for row in rows)]
    line, point = encode_lines(shown, rows)
    size = alt.Size("tokens:Q", scale=alt.Scale(range=[*SIZES_PX]), legend=None)
    band = chart.mark_area(opacity=0.13).encode(x=x, y=alt.Y("10 %:Q", title=title, scale=scale), y2="90 %:Q", **line)
    return alt.layer(
        band,
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, **line),
        chart.mark_point(filled=True, opacity=1).encode(x=x, y=y, size=size, tooltip=build_tooltips(KEYS), **point),
    )
