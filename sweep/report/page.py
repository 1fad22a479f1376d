"""Render the page: sections in the templates beside this file, with the scripts and styles that draw them."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache

import jinja2
import vl_convert
from altair import SCHEMA_VERSION

from sweep.records import format_value
from sweep.report.figure import Cell
from sweep.report.sections import ComparisonSection, SweepSection
from sweep.report.theme import DARK, FONT_FAMILY, LIGHT, Theme, build_vega_config

VEGA_LITE_VERSION = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Version of Vega-Lite for which Altair writes specifications, as vl-convert names it."""


def render_page(sections: Sequence[SweepSection], comparisons: Sequence[ComparisonSection]) -> str:
    """Render the whole page as HTML that needs no other file and no network."""
    return (
        _load_templates()
        .get_template("page.html")
        .render(
            title=sections[0].title if len(sections) == 1 else f"{len(sections)} sweeps compared",
            sections=sections,
            comparisons=comparisons,
            light=_format_css_variables(LIGHT),
            dark=_format_css_variables(DARK),
            themes={"light": build_vega_config(LIGHT), "dark": build_vega_config(DARK)},
            script=build_vega_script(),
        )
    )


@cache
def build_vega_script() -> str:
    """Bundle Vega, Vega-Lite and vega-embed into one script."""
    made = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE_VERSION)
    assert "</script" not in made.lower(), "the bundle would end the script element that holds it"
    return made


def _load_templates() -> jinja2.Environment:
    """Load the templates, in which every value is escaped, also inside JSON."""
    loader = jinja2.PackageLoader("sweep.report")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["cell"] = _format_cell
    return made


def _format_cell(value: Cell) -> str:
    return "" if value is None else format_value(value)


def _format_css_variables(theme: Theme) -> str:
    """Format a theme as CSS variables."""
    return "".join(f"--{name}: {value}; " for name, value in (asdict(theme) | {"font": FONT_FAMILY}).items())
