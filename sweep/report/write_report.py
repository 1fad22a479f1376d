"""Write the files of a report: report.html, tables for a paper, answers, and its plots in a folder."""

from collections.abc import Sequence
from pathlib import Path

import vl_convert

from sweep.atomic_io import atomic_write
from sweep.report.data import ReportData
from sweep.report.figure import Figure
from sweep.report.page import VEGA_LITE_VERSION, render_page
from sweep.report.paper.exports import format_exports
from sweep.report.sections import build_comparison_sections, build_sweep_section
from sweep.report.theme import LIGHT, build_vega_config

PAGE_FILE, PLOTS_FOLDER = "report.html", "plots"
PNG_SCALE = 2
"""Pixels of a PNG per pixel of the plot."""


def write_files(folder: Path, sweeps: Sequence[ReportData]) -> list[Path]:
    """Write the report of one sweep, or of several that are compared.

    Args:
        folder: existing folder that the report is written to.
        sweeps: one or more; for several, tables and plots are those of their comparison.

    Returns:
        Paths of the files, the page first.
    """
    sections, compared = [build_sweep_section(sweep) for sweep in sweeps], build_comparison_sections(sweeps)
    shown = [figure for one in compared for figure in one.list_figures()] or sections[0].list_figures()
    (folder / PLOTS_FOLDER).mkdir(exist_ok=True)
    texts = {PAGE_FILE: render_page(sections, compared)} | format_exports(sweeps)
    for file, text in texts.items():
        atomic_write(folder / file, text)
    plots = [path for figure in shown if figure.plot is not None for path in _write_plot(folder / PLOTS_FOLDER, figure)]
    return [*(folder / file for file in texts), *plots]


def _write_plot(folder: Path, figure: Figure) -> list[Path]:
    """Write the files of a figure's plot."""
    files = {
        folder / f"{figure.key.replace('/', '-')}.{kind}": content for kind, content in render_plot(figure).items()
    }
    for path, content in files.items():
        atomic_write(path, content)
    return [*files]


def render_plot(figure: Figure) -> dict[str, str | bytes]:
    """Render a figure's plot with its title, in the light theme, by the ending of the file's name."""
    drawn = vl_convert.vegalite_to_svg(
        figure.png_spec, vl_version=VEGA_LITE_VERSION, config=build_vega_config(LIGHT), allowed_base_urls=[]
    )
    return {
        "svg": drawn,
        "pdf": vl_convert.svg_to_pdf(drawn),
        "png": vl_convert.svg_to_png(drawn, scale=PNG_SCALE),
    }
