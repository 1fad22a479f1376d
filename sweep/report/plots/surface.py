"""Plot the score over two hyper-parameters: a smooth surface between the trials, in bands."""

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby

import altair as alt
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import Delaunay, QhullError

from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import find_highlights
from sweep.report.marks import (
    TRIAL_KEYS,
    Row,
    build_trial_row,
    describe_colour,
    draw_highlights,
    draw_trials,
    embed_rows,
    find_score_range,
)
from sweep.report.numbers import format_number
from sweep.report.plots.parameter import RangeParameter, find_range_parameters

N_CELLS = 80
"""Cells of the surface's grid along each side."""
N_BANDS = 10
"""Bands of equal score width, each in one colour."""
SMOOTHING = 0.02
"""Smoothing of the interpolation: scores vary with the seed too, so the surface need not pass through each trial."""
CELL_OVERLAP = 0.6
"""Cells by which a rectangle extends underneath the next ones."""
MAX_SURFACE_TRIALS = 300
"""Best trials from which a surface is fitted, and which are drawn; the time grows with the cube of their number."""


def plot_surfaces(sweep: ReportData) -> list[Figure]:
    """Plot the score over each pair of hyper-parameters with a range; choices have no surface between them."""
    return [_plot_surface(sweep, x, y) for x, y in combinations(find_range_parameters(sweep.config).values(), 2)]


def _plot_surface(sweep: ReportData, x: RangeParameter, y: RangeParameter) -> Figure:
    trials = sweep.ranking[:MAX_SURFACE_TRIALS]
    rows = [_build_row(record, x, y) for record in trials]
    marks = [_build_row(role.record, x, y) | {"which": role.label} for role in find_highlights(sweep)]
    places = [(x.to_fraction(record.setting[x.name]), y.to_fraction(record.setting[y.name])) for record in trials]
    surface = fit_surface(places, [record.score for record in trials])
    spans = bool(np.isfinite(surface).any())
    seen = (
        f"The smoothed score is lowest near {_describe_minimum(surface, x, y)}"
        if spans
        else f"No three trials span a surface over {x.name} and {y.name} yet"
    )
    return Figure(
        key=f"surface-{x.name}-{y.name}",
        title=seen,
        note="A smooth surface between the trials (thin plates), which ends where they end; dark is better."
        + (f" The best {len(trials)} of {len(sweep.ranking)} trials." if len(trials) < len(sweep.ranking) else ""),
        alt=f"Contour plot of the score over {x.name} and {y.name}. {seen}.",
        plot=_draw_plot([_build_rectangle(x, y, *run) for run in _find_band_runs(surface)], rows, marks, x, y)
        if spans
        else None,
        table=Table(columns=(*TRIAL_KEYS, x.name, y.name), rows=[list(values.values()) for values in rows]),
    )


def fit_surface(places: Sequence[tuple[float, float]], scores: Sequence[float]) -> NDArray[np.float64]:
    """Fit a smooth surface to scores at places in the unit square.

    Args:
        places: (x, y) of each score, in [0, 1].
        scores: score at each place, in the same order.

    Returns:
        Height at the centre of each cell [y, x], of shape (N_CELLS, N_CELLS); NaN outside the convex hull of the
        places, and everywhere with fewer than three places or with all on one line.
    """
    middles = (np.arange(N_CELLS) + 0.5) / N_CELLS
    cells = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    made = np.full(len(cells), np.nan)
    try:
        inside = Delaunay(places).find_simplex(cells) >= 0
    except (QhullError, ValueError):  # fewer than three places, or all on one line
        return made.reshape(N_CELLS, N_CELLS)
    made[inside] = RBFInterpolator(places, scores, smoothing=SMOOTHING)(cells[inside])
    return made.reshape(N_CELLS, N_CELLS)


def _build_row(record: TrialRecord, x: RangeParameter, y: RangeParameter) -> Row:
    return build_trial_row(record) | {"x": record.setting[x.name], "y": record.setting[y.name]}


def _describe_minimum(surface: NDArray[np.float64], x: RangeParameter, y: RangeParameter) -> str:
    cell_y, cell_x = np.unravel_index(np.nanargmin(surface), surface.shape)
    return " ".join(
        f"{one.name}={format_number(one.from_fraction((cell + 0.5) / N_CELLS), 2)}"
        for one, cell in ((x, cell_x), (y, cell_y))
    )


def _find_band_runs(surface: NDArray[np.float64]) -> Iterator[tuple[float, int, int, int]]:
    """Yield runs of adjacent cells in one line and band.

    Yields:
        Score at the middle of the band, line, first cell, and end (exclusive).
    """
    low, high = np.nanmin(surface), np.nanmax(surface)
    height = (high - low) / N_BANDS or 1.0
    bands = np.floor((surface - low) / height).clip(max=N_BANDS - 1)
    for line, cells in enumerate(low + (bands + 0.5) * height):
        end = 0
        for score, run in groupby(cells):
            begin, end = end, end + sum(1 for _ in run)
            if np.isfinite(score):
                yield float(score), line, begin, end


def _build_rectangle(x: RangeParameter, y: RangeParameter, score: float, line: int, begin: int, end: int) -> Row:
    """Build the rectangle of a run, to four digits; it extends underneath the next ones, so that no seam shows."""
    left, right = (x.from_fraction(cell / N_CELLS) for cell in (begin, end + CELL_OVERLAP))
    bottom, top = (y.from_fraction(cell / N_CELLS) for cell in (line, line + 1 + CELL_OVERLAP))
    made = {"x": left, "x2": right, "y": bottom, "y2": top, "score": score}
    return {key: float(f"{place:.4g}") for key, place in made.items()}


def _draw_plot(
    bands: Sequence[Row], rows: Sequence[Row], marks: Sequence[Row], over_x: RangeParameter, over_y: RangeParameter
) -> Plot:
    x, y = over_x.encode_x("x"), over_y.encode_y("y")
    ends = find_score_range([*bands, *rows])
    colour = alt.Fill("score:Q", **describe_colour(ends))
    cells = alt.Chart(embed_rows(bands)).mark_rect().encode(x=x, x2="x2:Q", y=y, y2="y2:Q", fill=colour)
    trials = draw_trials(rows, x, y, ends=ends).mark_circle(size=75, stroke="white", strokeWidth=1.2, opacity=1)
    return alt.layer(cells, trials, draw_highlights(marks, x, y)).properties(height=PLOT_HEIGHT_PX)
