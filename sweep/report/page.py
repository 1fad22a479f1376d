"""Render the page: sections in the templates beside this file, with the scripts and styles that draw them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import jinja2
import vl_convert
from altair import SCHEMA_VERSION

from sweep.report.figure import Cell, Table
from sweep.report.numbers import format_number
from sweep.report.sections import ComparisonSection, SweepSection
from sweep.report.theme import DARK, FONT_FAMILY, LIGHT, Theme, build_vega_config

VEGA_LITE_VERSION = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Version of Vega-Lite for which Altair writes specifications, as vl-convert names it."""


def render_page(
    sections: Sequence[SweepSection], comparisons: Sequence[ComparisonSection], refresh_s: int | None = None
) -> str:
    """Render the whole page as HTML that needs no other file and no network.

    Args:
        sections: one for each sweep.
        comparisons: one for each model and dataset on which sweeps are compared.
        refresh_s: seconds after which the page reads itself again; None: it does not.
    """
    settings = _list_settings(sections)
    return (
        _load_templates(settings)
        .get_template("page.html")
        .render(
            title=sections[0].title if len(sections) == 1 else f"{len(sections)} sweeps compared",
            sections=sections,
            comparisons=comparisons,
            refresh_s=refresh_s,
            settings=settings,
            light=_format_css_variables(LIGHT),
            dark=_format_css_variables(DARK),
            themes={"light": build_vega_config(LIGHT), "dark": build_vega_config(DARK)},
            script=build_vega_script(),
        )
    )


SETTING = "setting"
"""Column of tables, and key of rows in plots, that holds a setting as text."""
MAX_ROWS = 50
"""Rows of a table that are shown at first."""
N_DIGITS = 5
"""Significant digits of the numbers in plots, and of those by which tables are sorted."""


@cache
def build_vega_script() -> str:
    """Bundle Vega, Vega-Lite and vega-embed into one script."""
    made = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE_VERSION)
    assert "</script" not in made.lower(), "the bundle would end the script element that holds it"
    return made


def _list_settings(sections: Sequence[SweepSection]) -> list[str]:
    """List the settings in the tables of all plots, which the page holds once: in its data they are numbers."""
    tables = [figure.table for one in sections for figure in one.list_figures() if SETTING in figure.table.columns]
    return sorted({str(row[list(table.columns).index(SETTING)]) for table in tables for row in table.rows})


def _load_templates(settings: Sequence[str]) -> jinja2.Environment:
    """Load the templates, in which every value is escaped, also inside JSON."""
    places: dict[Cell, int] = {setting: place for place, setting in enumerate(settings)}
    loader = jinja2.PackageLoader("sweep.report")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "cell": _format_cell,
        "rounded": _round_cell,
        "compact": partial(_compact_spec, places=places),
        "rest": partial(_list_rest, places=places),
    }
    made.globals["max_rows"] = MAX_ROWS
    made.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    return made


def _format_cell(value: Cell) -> str:
    return "" if value is None else format_number(value)


def _round_cell(value: Cell, n_digits: int = N_DIGITS) -> Cell:
    return float(f"{value:.{n_digits}g}") if isinstance(value, float) and math.isfinite(value) else value


def _list_rest(table: Table, places: Mapping[Cell, int]) -> list[list[Cell]]:
    """List the rows of a long table that are not shown at first."""
    return [_compact_cells(table.columns, row, places) for row in table.rows[MAX_ROWS:]]


def _compact_spec(spec: Mapping[str, Any], places: Mapping[Cell, int]) -> dict[str, Any]:
    """Write the rows of each dataset without their keys, which are the same in all, and round their numbers."""
    datasets = spec.get("datasets", {})
    return {**spec, "datasets": {name: _compact_rows(rows, places) for name, rows in datasets.items()}}


def _compact_rows(rows: Sequence[Mapping[str, Cell]], places: Mapping[Cell, int]) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {"keys": keys, "rows": [_compact_cells(keys, [row.get(key) for key in keys], places) for row in rows]}


def _compact_cells(names: Sequence[str], cells: Sequence[Cell], places: Mapping[Cell, int]) -> list[Cell]:
    """Round numbers, and write a setting as its place in the list of all."""
    return [
        places.get(cell, cell) if name == SETTING else _round_cell(cell)
        for name, cell in zip(names, cells, strict=True)
    ]


def _format_css_variables(theme: Theme) -> str:
    """Format a theme as CSS variables."""
    return "".join(f"--{name}: {value}; " for name, value in (asdict(theme) | {"font": FONT_FAMILY}).items())
