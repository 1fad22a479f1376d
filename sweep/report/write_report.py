"""Write the files of a report: report.html, and PNGs of its plots in the folder beside it."""

from collections.abc import Sequence
from pathlib import Path

import vl_convert

from sweep.atomic_io import put
from sweep.report.data import Reported
from sweep.report.figure import Figure
from sweep.report.page import VEGA_LITE, page
from sweep.report.sections import comparisons, section
from sweep.report.theme import LIGHT, config

PAGE, PLOTS = "report.html", "plots"
SCALE = 2
"""Pixels of a PNG per pixel of the plot."""


def write(folder: Path, sweeps: Sequence[Reported]) -> list[Path]:
    """Write the report of one sweep, or of several that are compared.

    Args:
        folder: existing folder that the report is written to.
        sweeps: one or more; for several, the PNGs show the plots of their comparison.

    Returns:
        Paths of the files, the page first.
    """
    sections, compared = [section(sweep) for sweep in sweeps], comparisons(sweeps)
    shown = [one.figure for one in compared] or sections[0].figures
    (folder / PLOTS).mkdir(exist_ok=True)
    put(folder / PAGE, page(sections, compared))
    return [folder / PAGE, *(_drawn(folder / PLOTS, figure) for figure in shown if figure.plot is not None)]


def _drawn(folder: Path, figure: Figure) -> Path:
    path = folder / f"{figure.key.replace('/', '-')}.png"
    put(path, png(figure))
    return path


def png(figure: Figure) -> bytes:
    """Render a figure's plot as a PNG with its title, in the light theme."""
    return vl_convert.vegalite_to_png(
        figure.picture, vl_version=VEGA_LITE, config=config(LIGHT), scale=SCALE, allowed_base_urls=[]
    )
