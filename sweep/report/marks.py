"""Layers and encodings that several plots share: trials as points, and the highlighted trials."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import altair as alt

from sweep.records import Record, line
from sweep.report.figure import Cell
from sweep.report.highlights import LOOKS, OTHER, look
from sweep.report.theme import GREY, SCORES

Row: TypeAlias = dict[str, Cell]
"""The data of a mark, under our own keys: Vega-Lite reads a dot in a key, as in `retain.weight`, as a path."""
TRIAL = ("trial", "setting", "score")
"""Keys of the row of a trial."""
TEXTS = ("trial", "setting", "which", "kind", "worker", "reason")
"""Keys whose values are texts; all others are numbers."""
KEY = alt.Legend(title=None, columns=alt.ExprRef("width < 270 ? 1 : width < 380 ? 2 : 4"), symbolOpacity=1)
LOWER = "score (lower is better)"


def data(rows: Iterable[Row]) -> alt.InlineData:
    """Wrap rows as the inline data of a chart."""
    return alt.InlineData(values=list(rows))


def row(record: Record) -> Row:
    """Build the row of a trial that has a score."""
    return dict(zip(TRIAL, (record.index, line(record.setting), record.score), strict=True))


def tips(keys: Iterable[str]) -> list[alt.Tooltip]:
    """Build the tooltips of a mark; numbers have four significant digits."""
    return [alt.Tooltip(f"{key}:N") if key in TEXTS else alt.Tooltip(f"{key}:Q", format=".4~g") for key in keys]


def points(rows: Iterable[Row], x: alt.X, y: alt.Y, keys: Iterable[str] = TRIAL) -> alt.Chart:
    """Draw trials as small circles, coloured by score."""
    colour = alt.Fill(
        "score:Q", title="score", scale=alt.Scale(scheme=SCORES), legend=alt.Legend(orient="bottom", offset=6)
    )
    circles: alt.Chart = alt.Chart(data(rows)).mark_circle(size=75, stroke=GREY, strokeWidth=0.8, opacity=1)
    return circles.encode(x=x, y=y, fill=colour, tooltip=tips(keys))


def named(rows: Sequence[Row], x: alt.X, y: alt.Y, keys: Iterable[str] = TRIAL) -> alt.Chart:
    """Draw rows that have the key `which` as large marks, with a colour and a shape for each label."""
    marks: alt.Chart = alt.Chart(data(rows)).mark_point(filled=True, size=180, opacity=1)
    return marks.encode(x=x, y=y, color=colour_of(rows), shape=shape_of(rows), tooltip=tips(["which", *keys]))


def colour_of(rows: Iterable[Row]) -> alt.Color:
    """Encode the label `which` as colour; Vega-Lite merges its legend with that of the shape."""
    labels = _labels(rows)
    scale = alt.Scale(domain=labels, range=[look(label).colour for label in labels])
    return alt.Color("which:N", scale=scale, legend=KEY)


def shape_of(rows: Iterable[Row]) -> alt.Shape:
    """Encode the label `which` as shape."""
    labels = _labels(rows)
    scale = alt.Scale(domain=labels, range=[look(label).shape for label in labels])
    return alt.Shape("which:N", scale=scale, legend=KEY)


def _labels(rows: Iterable[Row]) -> list[str]:
    """List the distinct labels of rows, in the same order in all plots."""
    order = [*LOOKS.values(), OTHER]
    return sorted({str(row["which"]) for row in rows}, key=lambda label: (order.index(look(label)), label))
