"""Write the files of a report: report.html, and PNGs of its plots in the folder beside it."""

from collections.abc import Sequence
from pathlib import Path

import vl_convert

from sweep.atomic_io import atomic_write
from sweep.report.data import ReportData
from sweep.report.figure import Figure
from sweep.report.page import VEGA_LITE_VERSION, render_page
from sweep.report.sections import build_comparison_sections, build_sweep_section
from sweep.report.theme import LIGHT, build_vega_config

PAGE_FILE, PLOTS_FOLDER = "report.html", "plots"
PNG_SCALE = 2
"""Pixels of a PNG per pixel of the plot."""


def write_files(folder: Path, sweeps: Sequence[ReportData]) -> list[Path]:
    """Write the report of one sweep, or of several that are compared.

    Args:
        folder: existing folder that the report is written to.
        sweeps: one or more; for several, the PNGs show the plots of their comparison.

    Returns:
        Paths of the files, the page first.
    """
    sections, compared = [build_sweep_section(sweep) for sweep in sweeps], build_comparison_sections(sweeps)
    shown = [one.figure for one in compared] or sections[0].figures
    (folder / PLOTS_FOLDER).mkdir(exist_ok=True)
    atomic_write(folder / PAGE_FILE, render_page(sections, compared))
    return [
        folder / PAGE_FILE,
        *(_write_png(folder / PLOTS_FOLDER, figure) for figure in shown if figure.plot is not None),
    ]


def _write_png(folder: Path, figure: Figure) -> Path:
    path = folder / f"{figure.key.replace('/', '-')}.png"
    atomic_write(path, render_png(figure))
    return path


def render_png(figure: Figure) -> bytes:
    """Render a figure's plot as a PNG with its title, in the light theme."""
    return vl_convert.vegalite_to_png(
        figure.png_spec,
        vl_version=VEGA_LITE_VERSION,
        config=build_vega_config(LIGHT),
        scale=PNG_SCALE,
        allowed_base_urls=[],
    )
