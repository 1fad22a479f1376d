"""What a plot brings to the page: what is seen, how to read it, and its data as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import altair as alt

Cell: TypeAlias = str | int | float | None
Plot: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart
HEIGHT = 320
"""Pixels of a plot whose lines do not decide."""
WIDTH = 640
"""Pixels of a PNG's plot; on the page a plot is as wide as its column."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows; None is an empty cell.

    Attributes:
        columns: their headings.
        rows: cells in the order of the columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A plot with its words.

    Attributes:
        key: its name in the page, and its PNG's.
        title: what is seen in it; why nothing is, where there is no plot.
        note: how to read it.
        alt: what somebody who does not see it has to know.
        plot: None where there is nothing to draw (yet).
        table: the numbers in it.
    """

    key: str
    title: str
    note: str
    alt: str
    plot: Plot | None
    table: Table

    @property
    def spec(self) -> dict[str, Any]:
        """The plot in Vega-Lite, as wide as what holds it."""
        assert self.plot is not None, f"{self.key} has nothing to draw"
        return _spec(self.plot.properties(width="container"))

    @property
    def picture(self) -> dict[str, Any]:
        """The plot in Vega-Lite as it stands alone: of a fixed width, with its title."""
        assert self.plot is not None, f"{self.key} has nothing to draw"
        return _spec(self.plot.properties(width=WIDTH, title=self.title))


def _spec(plot: Plot) -> dict[str, Any]:
    with alt.theme.enable("none"):
        sized = plot.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        made: dict[str, Any] = sized.to_dict(validate=False)  # the tests do; it takes longer than all the rest
    return made
