"""Types of the page's content: a figure is a plot with its title, its note and its data as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import altair as alt

Cell: TypeAlias = str | int | float | None
Plot: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart
PLOT_HEIGHT_PX = 320
"""Height of a plot, unless it follows from the plot's number of rows."""
PNG_WIDTH_PX = 640
"""Width of a plot in a PNG; on the page a plot is as wide as its column."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows; None is an empty cell.

    Attributes:
        columns: headings of the columns.
        rows: cells of each row, in the order of the columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A plot with its title, note, text alternative and data.

    Attributes:
        key: name that identifies the figure; also the stem of its PNG's file name.
        title: the main finding; if there is no plot, the reason for that.
        note: instructions for reading the plot.
        alt: text alternative for readers who cannot see the plot.
        plot: the plot; None if there is nothing to draw (yet).
        table: the numbers that the plot shows.
    """

    key: str
    title: str
    note: str
    alt: str
    plot: Plot | None
    table: Table

    @property
    def spec(self) -> dict[str, Any]:
        """The plot in Vega-Lite for the page, as wide as its container."""
        assert self.plot is not None, f"{self.key} has nothing to draw"
        return _to_vega_lite(self.plot.properties(width="container"))

    @property
    def png_spec(self) -> dict[str, Any]:
        """The plot in Vega-Lite for a PNG, with a fixed width and its title."""
        assert self.plot is not None, f"{self.key} has nothing to draw"
        return _to_vega_lite(self.plot.properties(width=PNG_WIDTH_PX, title=self.title))


def _to_vega_lite(plot: Plot) -> dict[str, Any]:
    with alt.theme.enable("none"):
        sized = plot.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        made: dict[str, Any] = sized.to_dict(validate=False)  # slower than all other steps; the tests validate
    return made
