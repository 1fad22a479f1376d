"""Render the page: sections in the templates beside this file, with the scripts and styles that draw them."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache

import jinja2
import vl_convert
from altair import SCHEMA_VERSION

from sweep.records import short
from sweep.report.figure import Cell
from sweep.report.sections import Comparison, Section
from sweep.report.theme import DARK, FONT, LIGHT, Theme, config

VEGA_LITE = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Version of Vega-Lite for which Altair writes specifications, as vl-convert names it."""


def page(sections: Sequence[Section], comparisons: Sequence[Comparison]) -> str:
    """Render the whole page as HTML that needs no other file and no network."""
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=sections[0].title if len(sections) == 1 else f"{len(sections)} sweeps compared",
            sections=sections,
            comparisons=comparisons,
            light=_variables(LIGHT),
            dark=_variables(DARK),
            themes={"light": config(LIGHT), "dark": config(DARK)},
            script=script(),
        )
    )


@cache
def script() -> str:
    """Bundle Vega, Vega-Lite and vega-embed into one script."""
    made = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    assert "</script" not in made.lower(), "the bundle would end the script element that holds it"
    return made


def _templates() -> jinja2.Environment:
    """Load the templates, in which every value is escaped, also inside JSON."""
    loader = jinja2.PackageLoader("sweep.report")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["cell"] = _cell
    return made


def _cell(value: Cell) -> str:
    return "" if value is None else short(value)


def _variables(theme: Theme) -> str:
    """Format a theme as CSS variables."""
    return "".join(f"--{name}: {value}; " for name, value in (asdict(theme) | {"font": FONT}).items())
