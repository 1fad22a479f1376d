"""Plot scores over fresh seeds, for one sweep's finalists or for the best settings of several sweeps."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import altair as alt

from sweep.records import line
from sweep.report.data import Reported
from sweep.report.figure import Figure, Plot, Table
from sweep.report.highlights import shown
from sweep.report.marks import LOWER, Row, colour_of, data, shape_of, tips
from sweep.report.tables import spread
from sweep.results.statistics import Finalist, finalists

LINE = 44
"""Height of one setting's row."""


def seeds(sweep: Reported) -> Figure:
    """Plot the finalists of a sweep."""
    return over_seeds(
        "seeds",
        [replace(one, label=shown(one.label, sweep.config)) for one in finalists(sweep.config, sweep.records)],
    )


def over_seeds(key: str, settings: Iterable[Finalist]) -> Figure:
    """Plot a point for each seed, and each setting's mean ± one standard deviation, lowest mean first."""
    found = sorted((one for one in settings if one.scores), key=lambda one: one.mean)
    spreads = [f"{one.label}: {spread(one.scores)}" for one in found]
    return Figure(
        key=key,
        title=f"“{found[0].label}” scores lowest over fresh seeds: {spread(found[0].scores)}"
        if found
        else "No setting was repeated on fresh seeds yet",
        note="Small: one seed each. Large: their mean, with a bar of ± one standard deviation. Left is better.",
        alt=f"Dot plot of scores over fresh seeds. {'; '.join(spreads)}.",
        plot=_plot(found) if found else None,
        table=Table(
            columns=("which", "setting", "seed", "score"),
            rows=[(one.label, line(one.setting), seed, score) for one in found for seed, score in one.scores.items()],
        ),
    )


def _plot(found: Sequence[Finalist]) -> Plot:
    means = [_mean(one) for one in found]
    single: list[Row] = [
        {"which": one.label, "seed": seed, "score": score} for one in found for seed, score in one.scores.items()
    ]
    y = alt.Y(
        "which:N",
        title=None,
        sort=[one.label for one in found],
        axis=alt.Axis(labelLimit=150, grid=False, labelExpr="split(datum.label, ' = ')"),
    )
    x, colour = alt.X("score:Q", title=LOWER, scale=alt.Scale(zero=False, padding=14)), colour_of(means).legend(None)
    mean, dots = alt.Chart(data(means)), alt.Chart(data(single))
    bars = mean.mark_rule(strokeWidth=3, opacity=0.45).encode(
        x=alt.X("low:Q", title=LOWER, scale=alt.Scale(zero=False, padding=14)), x2="high:Q", y=y, color=colour
    )
    large = mean.mark_point(size=170, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape_of(means).legend(None), tooltip=tips(("which", "setting", "score", "std"))
    )
    small = dots.mark_point(size=45, strokeWidth=1.5, opacity=1).encode(
        x=x, y=y, color=colour, tooltip=tips(("which", "seed", "score"))
    )
    return alt.layer(bars, large, small).properties(height=LINE * len(found))


def _mean(one: Finalist) -> Row:
    reach = one.std if len(one.scores) > 1 else 0.0
    ends = {"low": one.mean - reach, "high": one.mean + reach}
    return {"which": one.label, "setting": line(one.setting), "score": one.mean, "std": reach, **ends}
