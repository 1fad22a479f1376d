"""Layers and encodings that several plots share: trials as points, and the highlighted trials."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import altair as alt

from sweep.records import TrialRecord, format_setting
from sweep.report.figure import Cell
from sweep.report.highlights import DEFAULT_STYLE, MARKER_STYLES, find_marker_style
from sweep.report.theme import GREY, SCORE_SCHEME

Row: TypeAlias = dict[str, Cell]
"""The data of a mark, under our own keys: Vega-Lite reads a dot in a key, as in `retain.weight`, as a path."""
TRIAL_KEYS = ("trial", "setting", "score")
"""Keys of the row of a trial."""
TEXT_KEYS = ("trial", "setting", "seed", "which", "kind", "worker", "reason", "measured on", "side")
"""Keys whose values are texts; all others are numbers."""
MARK_LEGEND = alt.Legend(title=None, columns=alt.ExprRef("width < 270 ? 1 : width < 380 ? 2 : 4"), symbolOpacity=1)
SCORE_TITLE = "score (lower is better)"


def embed_rows(rows: Iterable[Row]) -> alt.InlineData:
    """Wrap rows as the inline data of a chart."""
    return alt.InlineData(values=list(rows))


def build_trial_row(record: TrialRecord) -> Row:
    """Build the row of a trial that has a score."""
    return dict(zip(TRIAL_KEYS, (record.index, format_setting(record.setting), record.score), strict=True))


def build_tooltips(keys: Iterable[str]) -> list[alt.Tooltip]:
    """Build the tooltips of a mark; numbers have four significant digits and no power of ten."""
    return [alt.Tooltip(f"{key}:N") if key in TEXT_KEYS else alt.Tooltip(f"{key}:Q", format=".4~r") for key in keys]


def find_score_range(rows: Iterable[Row]) -> list[float]:
    """Find the lowest and the highest score of rows."""
    scores = [float(score) for row in rows if (score := row["score"]) is not None]
    return [min(scores), max(scores)]


def describe_colour(ends: Sequence[float]) -> dict[str, Any]:
    """Describe the colour of scores: its scale, and its legend, which names the scale's two ends."""
    legend = alt.Legend(orient="bottom", offset=6, values=[*ends], format=".3f", labelOverlap=False)
    return {"title": "score, dark is better", "scale": alt.Scale(scheme=SCORE_SCHEME, domain=[*ends]), "legend": legend}


def draw_trials(
    rows: Sequence[Row],
    x: alt.X,
    y: alt.Y,
    keys: Iterable[str] = TRIAL_KEYS,
    ends: Sequence[float] | None = None,
) -> alt.Chart:
    """Draw trials as small circles, coloured by score; `ends` of the colours are those of the rows, or wider ones."""
    colour = alt.Fill("score:Q", **describe_colour(ends or find_score_range(rows)))
    circles: alt.Chart = alt.Chart(embed_rows(rows)).mark_circle(size=75, stroke=GREY, strokeWidth=0.8, opacity=1)
    return circles.encode(x=x, y=y, fill=colour, tooltip=build_tooltips(keys))


def draw_highlights(rows: Sequence[Row], x: alt.X, y: alt.Y, keys: Iterable[str] = TRIAL_KEYS) -> alt.Chart:
    """Draw rows that have the key `which` as large marks, with a colour and a shape for each label."""
    marks: alt.Chart = alt.Chart(embed_rows(rows)).mark_point(filled=True, size=180, opacity=1)
    return marks.encode(
        x=x, y=y, color=encode_colour(rows), shape=encode_shape(rows), tooltip=build_tooltips(["which", *keys])
    )


def encode_colour(rows: Iterable[Row]) -> alt.Color:
    """Encode the label `which` as colour; Vega-Lite merges its legend with that of the shape."""
    labels = _list_labels(rows)
    scale = alt.Scale(domain=labels, range=[find_marker_style(label).colour for label in labels])
    return alt.Color("which:N", scale=scale, legend=MARK_LEGEND)


def encode_shape(rows: Iterable[Row]) -> alt.Shape:
    """Encode the label `which` as shape."""
    labels = _list_labels(rows)
    scale = alt.Scale(domain=labels, range=[find_marker_style(label).shape for label in labels])
    return alt.Shape("which:N", scale=scale, legend=MARK_LEGEND)


def _list_labels(rows: Iterable[Row]) -> list[str]:
    """List the distinct labels of rows, in the same order in all plots."""
    order = [*MARKER_STYLES.values(), DEFAULT_STYLE]
    return sorted({str(row["which"]) for row in rows}, key=lambda label: (order.index(find_marker_style(label)), label))
