"""Plot the scores of several objectives over τ, the share of the target's retain ES that has to be kept."""

from collections import Counter
from collections.abc import Mapping, Sequence

import altair as alt

from eval.metrics.calibrated_score import extraction_strengths
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.marks import SCORE_TITLE, Row, build_tooltips, embed_rows
from sweep.report.plots.series import encode_points, encode_series
from sweep.report.theme import GREY
from sweep.results.comparison import REPORT, ObjectiveResult
from sweep.results.statistics import collect_repeat_values, collect_search_values, has_both_es, mean, std

TAU_METRIC_PREFIX = "score/tau_"
KEYS = ("which", "tau", "score", "std", "seeds")


def plot_tau_curves(key: str, sweeps: Mapping[str, ReportData], results: Mapping[str, ObjectiveResult]) -> Figure:
    """Plot each objective's compared setting: its mean score ± one standard deviation at each recorded τ.

    A trial records the score at `score.tau`, which is measured, and at a few other τ, interpolated from the same scan.

    Args:
        key: the figure's key.
        sweeps: sweeps on one model and dataset, by label.
        results: their results, by label.
    """
    rows = [row for label, one in results.items() for row in _build_rows(label, sweeps[label], one)]
    labels = list(dict.fromkeys(str(row["which"]) for row in rows))
    taus = sorted({float(str(row["tau"])) for row in rows})
    lowest = Counter(_find_lowest([row for row in rows if row["tau"] == tau]) for tau in taus)
    leads = ", ".join(f"{label} at {n} of {len(taus)} τ" for label, n in lowest.most_common())
    seeds = next((f"{one.measured_on} seeds" for one in results.values()), "")
    measured = ", ".join(sorted({f"{sweep.config.score.tau:g}" for sweep in sweeps.values()}))
    return Figure(
        key=key,
        title=f"Lowest mean score: {leads}" if rows else "No score at any τ yet",
        note=f"Mean ± one standard deviation over {seeds}, of the setting that is compared. The score is measured at "
        f"τ = {measured} and interpolated at the others. Dashed: the target, where nothing is forgotten.",
        alt=f"Line chart of the score over τ, a line for each of {len(labels)} objectives. Lowest: {leads or 'none'}.",
        plot=_draw_plot(labels, rows, _find_target_score(sweeps)) if rows else None,
        table=Table(
            columns=("objective", "τ", "score", "± std", "seeds"), rows=[[row[k] for k in KEYS] for row in rows]
        ),
    )


def _build_rows(label: str, sweep: ReportData, one: ObjectiveResult) -> list[Row]:
    """Build a row for each τ at which the setting has a score."""
    collect = collect_repeat_values if one.measured_on == REPORT else collect_search_values
    keys = {key for record in sweep.records for key in record.metrics if key.startswith(TAU_METRIC_PREFIX)}
    scores = {float(key.removeprefix(TAU_METRIC_PREFIX)): collect(sweep.records, one.setting, key) for key in keys}
    return [_build_row(label, tau, by_seed) for tau, by_seed in sorted(scores.items()) if by_seed]


def _build_row(label: str, tau: float, by_seed: Mapping[int, float]) -> Row:
    middle, reach = mean(by_seed), std(by_seed) if len(by_seed) > 1 else 0.0
    row: Row = {"which": label, "tau": tau, "score": middle, "std": reach, "seeds": len(by_seed)}
    return row | {"low": middle - reach, "high": middle + reach}


def _find_lowest(rows: Sequence[Row]) -> str:
    return str(min(rows, key=lambda row: float(str(row["score"])))["which"])


def _find_target_score(sweeps: Mapping[str, ReportData]) -> float | None:
    """Return the target's forget ES, the score of a trial that forgets nothing; None where it is not known."""
    known = [sweep.target_metrics for sweep in sweeps.values() if has_both_es(sweep.target_metrics)]
    return extraction_strengths(known[0]).forget if known else None


def _draw_plot(labels: Sequence[str], rows: Sequence[Row], target: float | None) -> Plot:
    axis = alt.Axis(values=sorted({float(str(row["tau"])) for row in rows}), format=".3~g", labelSeparation=2)
    x = alt.X("tau:Q", title="τ, the share that is kept", axis=axis, scale=alt.Scale(zero=False, padding=14))
    y, chart, series = (
        alt.Y("score:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False)),
        alt.Chart(embed_rows(rows)),
        encode_series(labels),
    )
    floor: list[Row] = [] if target is None else [{"which": "target", "score": target}]
    band = chart.mark_area(opacity=0.1).encode(
        x=x, y=alt.Y("low:Q", title=SCORE_TITLE), y2="high:Q", color=series["color"]
    )
    points = chart.mark_point(filled=True, size=90, opacity=1).encode(
        x=x, y=y, tooltip=build_tooltips(KEYS), **encode_points(labels)
    )
    rule = alt.Chart(embed_rows(floor)).mark_rule(color=GREY, strokeDash=[4, 3], strokeWidth=2)
    return alt.layer(
        band,
        rule.encode(y=y, tooltip=build_tooltips(("which", "score"))),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, **series),
        points,
    ).properties(height=PLOT_HEIGHT_PX)
