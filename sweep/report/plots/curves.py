"""Plot learning curves: forget and retain ES after each epoch, before mixing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import altair as alt

from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import find_highlights, mark_stand_in
from sweep.report.marks import MARK_LEGEND, Row, build_tooltips, embed_rows, encode_colour, encode_shape
from sweep.results.statistics import FORGET_METRIC, RETAIN_METRIC, mean, std, summarize_finalists

SIDES = {"forget ES": FORGET_METRIC, "retain ES": RETAIN_METRIC}
"""Metrics of the curves, by name."""
DASHES = {"forget ES": [1, 0], "retain ES": [6, 4]}
"""Dashes of the lines, by name of the metric: forget ES is solid."""
DASH_LEGEND = alt.Legend(title=None, orient="bottom", offset=6, columns=2)
COLUMNS = ("which", "side", "epoch", "ES before mixing", "± std", "seeds")


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A metric of a setting after one epoch.

    Attributes:
        which: label of the setting.
        side: name of the metric, a key of `SIDES`.
        epoch: number of the epoch; 0 is the target, before unlearning.
        values: metric by seed, at least one.
    """

    which: str
    side: str
    epoch: int
    values: dict[int, float]

    @property
    def std_or_zero(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        return std(self.values) if len(self.values) > 1 else 0.0


def plot_curves(sweep: ReportData) -> Figure:
    """Plot the finalists' curves over report seeds; while there are no finalists, those of the highlighted trials."""
    found = _collect_finalist_points(sweep) or _collect_search_points(sweep)
    seen = _describe_ends(found)
    seeds = max((len(point.values) for point in found), default=0)
    return Figure(
        key="curves",
        title=seen if found else "No learning curve yet",
        note="Solid: forget ES, which shall fall. Dashed: retain ES, which shall stay. Both at the unlearned weights, "
        "before they are mixed back; epoch 0 is the target. "
        + (f"Mean ± one standard deviation over {seeds} report seeds." if seeds > 1 else "One seed."),
        alt=f"Line chart of forget ES and retain ES after each epoch. {seen}.",
        plot=_draw_plot(found) if found else None,
        table=Table(columns=COLUMNS, rows=[list(_build_row(point).values())[:6] for point in found]),
    )


def _collect_finalist_points(sweep: ReportData) -> list[CurvePoint]:
    runs = [r for r in sweep.records if r.phase == "finalist" and r.state == "finished"]
    return [
        point
        for one in sorted(summarize_finalists(sweep), key=lambda one: not one.label.startswith("best"))
        for point in _collect_points(
            sweep, mark_stand_in(one.label, sweep.config), [r for r in runs if r.setting == one.setting]
        )
    ]


def _collect_search_points(sweep: ReportData) -> list[CurvePoint]:
    return [point for role in find_highlights(sweep) for point in _collect_points(sweep, role.label, [role.record])]


def _collect_points(sweep: ReportData, which: str, runs: Sequence[TrialRecord]) -> Iterable[CurvePoint]:
    """Yield a setting's points, the target's first where it is known; nothing for a setting without a curve."""
    epochs = sorted({int(point["epoch"]) for run in runs for point in run.curve})
    for side, key in SIDES.items():
        if epochs and key in sweep.target_metrics:
            yield CurvePoint(which=which, side=side, epoch=0, values={r.seed: sweep.target_metrics[key] for r in runs})
        for epoch in epochs:
            values = {r.seed: point[key] for r in runs for point in r.curve if point["epoch"] == epoch and key in point}
            if values:
                yield CurvePoint(which=which, side=side, epoch=epoch, values=values)


def _describe_ends(found: Sequence[CurvePoint]) -> str:
    """Describe where each setting ends: `“best” ends at forget ES 0.01 and retain ES 0.10, before mixing`."""
    last = {(point.which, point.side): mean(point.values) for point in found}
    ends = "; ".join(
        f"“{which}” ends at "
        + " and ".join(f"{side} {last[which, side]:.2f}" for side in SIDES if (which, side) in last)
        for which in dict.fromkeys(point.which for point in found)
    )
    return f"{ends}, before mixing"


def _build_row(point: CurvePoint) -> Row:
    middle, reach = mean(point.values), point.std_or_zero
    named: Row = dict(
        zip(COLUMNS, (point.which, point.side, point.epoch, middle, reach, len(point.values)), strict=True)
    )
    return named | {"low": middle - reach, "high": middle + reach}


def _draw_plot(found: Sequence[CurvePoint]) -> Plot:
    rows = [_build_row(point) for point in found]
    x = alt.X("epoch:Q", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(padding=14, nice=False))
    title = "ES before mixing"
    y = alt.Y(f"{title}:Q", title=title)
    dash = alt.StrokeDash(
        "side:N",
        scale=alt.Scale(domain=[*DASHES], range=[*DASHES.values()]),
        legend=DASH_LEGEND,
    )
    chart, colour = alt.Chart(embed_rows(rows)), encode_colour(rows).legend(MARK_LEGEND)
    band = chart.mark_area(opacity=0.13).encode(
        x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=colour, detail="side:N"
    )
    lines = chart.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    points = chart.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, y=y, color=colour, shape=encode_shape(rows), tooltip=build_tooltips(COLUMNS)
    )
    return alt.layer(band, lines, points).properties(height=PLOT_HEIGHT_PX)
