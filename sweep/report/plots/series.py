"""Encodings of several objectives in one plot: colour, shape and dash, each of which alone tells six of them apart."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from sweep.report.theme import BLUE, GREEN, OLIVE, ORANGE, PURPLE, SKY

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, OLIVE)
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right", "cross")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
"""Dashes: another one after each round through the colours."""
LEGEND = alt.Legend(
    title=None,
    columns=alt.ExprRef("width < 300 ? 1 : width < 480 ? 2 : 4"),
    symbolOpacity=1,
    symbolDash=[1, 0],
)


def encode_series(labels: Sequence[str]) -> dict[str, Any]:
    """Encode the label `which` of a line as colour and dash; Vega-Lite merges their legends."""
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(labels))]
    dashes = [DASHES[i // len(COLOURS) % len(DASHES)] for i in range(len(labels))]
    return {
        "color": alt.Color("which:N", scale=alt.Scale(domain=[*labels], range=colours), legend=LEGEND),
        "strokeDash": alt.StrokeDash("which:N", scale=alt.Scale(domain=[*labels], range=dashes), legend=LEGEND),
    }


def encode_points(labels: Sequence[str]) -> dict[str, Any]:
    """Encode the label `which` of a point as colour and shape; Vega-Lite merges their legends."""
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(labels))]
    shape = alt.Shape("which:N", scale=alt.Scale(domain=[*labels], range=shapes), legend=LEGEND)
    return {"color": encode_series(labels)["color"], "shape": shape}
