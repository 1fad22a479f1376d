"""Light and dark themes of page and plots, with mark colours that colour-blind readers can tell apart."""

from dataclasses import dataclass
from typing import Any, Final

import altair as alt

# Okabe and Ito's palette; each has a contrast of at least 3 to both cards.
BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#3d93c9", "#808790"
OLIVE = "#8f7a00"


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of everything but the data.

    Attributes:
        page: background of the page.
        card: background of a plot or a table.
        ink: text.
        muted: text of less weight, and axes.
        grid: lines behind the data, and borders.
        link: links and buttons, and the focus ring.
        good: border of a good verdict.
        bad: border of a bad verdict.
    """

    page: str
    card: str
    ink: str
    muted: str
    grid: str
    link: str
    good: str = GREEN
    bad: str = ORANGE


LIGHT = Theme(page="#f6f7f9", card="#ffffff", ink="#1b1f24", muted="#57606a", grid="#dfe3e8", link="#0060a8")
DARK = Theme(page="#101317", card="#191e24", ink="#e8ebef", muted="#a3adb8", grid="#333b45", link="#6cb6ff")

SCORE_SCHEME: Final = "viridis"
"""Vega's colour scheme for scores: dark is low, which is better."""
FONT_FAMILY = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def build_vega_config(theme: Theme) -> dict[str, Any]:
    """Build Vega-Lite's configuration; the vertical axis has its title above, so that a narrow plot keeps its width."""
    axis = alt.AxisConfig(
        domain=False,
        gridColor=theme.grid,
        labelColor=theme.muted,
        labelFontSize=12,
        labelSeparation=6,
        tickColor=theme.grid,
        titleColor=theme.muted,
        titleFontSize=12,
        titleFontWeight="normal",
    )
    above = alt.AxisConfig(
        titleAngle=0, titleAlign="left", titleAnchor="start", titleX=0, titleY=-14, titleBaseline="bottom"
    )
    legend = alt.LegendConfig(
        orient="top",
        offset=30,  # above the title of the vertical axis
        titleOrient="left",
        labelColor=theme.ink,
        labelFontSize=12,
        labelLimit=220,
        titleColor=theme.muted,
        titleFontSize=12,
        titleFontWeight="normal",
        titlePadding=10,
        gradientLength=150,
        gradientThickness=10,
        gradientStrokeColor=theme.grid,
        symbolSize=90,
    )
    title = alt.TitleConfig(anchor="start", color=theme.ink, fontSize=15, offset=12)
    whole = alt.Config(
        aria=False,  # the plot's description and table are more accessible than labels on a thousand marks
        axis=axis,
        axisY=above,
        background=theme.card,
        font=FONT_FAMILY,
        legend=legend,
        rule=alt.MarkConfig(color=theme.muted),
        text=alt.MarkConfig(color=theme.ink),
        title=title,
        view=alt.ViewConfig(stroke=None),
    )
    made: dict[str, Any] = whole.to_dict()
    return made
