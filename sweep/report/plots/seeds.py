"""Plot scores over fresh seeds: of the race, of a sweep's finalists, or of the best settings of several sweeps."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import altair as alt

from sweep.records import format_setting
from sweep.report.data import ReportData
from sweep.report.figure import Figure, Plot, Table
from sweep.report.highlights import mark_stand_in
from sweep.report.marks import SCORE_TITLE, Row, build_tooltips, embed_rows, encode_colour, encode_shape
from sweep.report.numbers import format_difference, join_names
from sweep.report.tables import format_mean_std
from sweep.results.comparison import REPORT
from sweep.results.statistics import Finalist, compare_shared_seeds, summarize_finalists, summarize_race

ROW_HEIGHT_PX = 44
"""Height of one setting's row."""


def plot_seeds(sweep: ReportData) -> Figure:
    """Plot the settings that ran on the report seeds: the race's winner and the paper's."""
    return plot_scores_by_seed("seeds", _mark_stand_ins(sweep, summarize_finalists(sweep)))


def plot_race(sweep: ReportData) -> Figure:
    """Plot the settings in the race, by their complete rounds."""
    racers = _mark_stand_ins(sweep, summarize_race(sweep))
    figure = plot_scores_by_seed("race", racers)
    if figure.plot is None:
        return replace(figure, title="No round of a race is complete yet" if racers else "There was no race")
    title = f"“{racers[0].label}” won the race: {format_mean_std(racers[0].scores)}"
    if len(tied := sweep.race.remaining) > 1:
        title = f"{len(tied)} settings are tied in the race; the lowest mean is that of “{racers[0].label}”"
    return replace(
        figure, title=title if sweep.race.is_over else f"Round {sweep.race.n_rounds} of the race is complete"
    )


def _mark_stand_ins(sweep: ReportData, settings: Iterable[Finalist]) -> list[Finalist]:
    return [replace(one, label=mark_stand_in(one.label, sweep.config)) for one in settings]


def plot_scores_by_seed(
    key: str, settings: Iterable[Finalist], measured_on: str = REPORT, sentence: str = ""
) -> Figure:
    """Plot a point for each seed, and each setting's mean ± one standard deviation, lowest mean first.

    Args:
        key: the figure's key.
        settings: the settings; those without a score are left out.
        measured_on: the kind of the seeds.
        sentence: what is seen; empty: who is better by the 95 % interval of each difference.
    """
    found = sorted((one for one in settings if one.scores), key=lambda one: one.mean)
    spreads = [f"{one.label}: {format_mean_std(one.scores)}" for one in found]
    return Figure(
        key=key,
        title=sentence.removesuffix(".") or describe_best(found, measured_on)
        if found
        else f"No setting has run on {measured_on} seeds yet",
        note="Small: one seed each. Large: their mean, with a bar of ± one standard deviation. Left is better.",
        alt=f"Dot plot of scores over seeds. {'; '.join(spreads)}.",
        plot=_draw_plot(found) if found else None,
        table=Table(
            columns=("which", "setting", "score", "seed"),
            rows=[
                (one.label, format_setting(one.setting), score, seed)
                for one in found
                for seed, score in one.scores.items()
            ],
        ),
    )


def describe_best(found: Sequence[Finalist], measured_on: str) -> str:
    """Describe settings, lowest mean first: who is better than whom, as far as 95 % intervals tell them apart."""
    first, *others = found
    gaps = {one.label: compare_shared_seeds(first.scores, one.scores) for one in others}
    tied = [f"“{label}”" for label, gap in gaps.items() if gap is None or gap.is_tied]
    if tied:
        return f"{join_names([f'“{first.label}”', *tied])} are tied over {measured_on} seeds"
    if others:
        how = f": {format_difference(gaps[others[0].label])}" if len(others) == 1 else ""
        names = join_names(f"“{one.label}”" for one in others)
        return f"“{first.label}” is better than {names} over {measured_on} seeds{how}"
    return f"“{first.label}” scores {format_mean_std(first.scores)} over {measured_on} seeds"


def _draw_plot(found: Sequence[Finalist]) -> Plot:
    means = [_build_mean_row(one) for one in found]
    single: list[Row] = [
        {"which": one.label, "seed": seed, "score": score} for one in found for seed, score in one.scores.items()
    ]
    y = alt.Y(
        "which:N",
        title=None,
        sort=[one.label for one in found],
        axis=alt.Axis(labelLimit=150, grid=False, labelExpr="split(datum.label, ' = ')"),
    )
    x, colour = (
        alt.X("score:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False, padding=14)),
        encode_colour(means).legend(None),
    )
    mean, dots = alt.Chart(embed_rows(means)), alt.Chart(embed_rows(single))
    bars = mean.mark_rule(strokeWidth=3, opacity=0.45).encode(
        x=alt.X("low:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False, padding=14)), x2="high:Q", y=y, color=colour
    )
    large = mean.mark_point(size=170, filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=encode_shape(means).legend(None),
        tooltip=build_tooltips(("which", "setting", "score", "std")),
    )
    small = dots.mark_point(size=45, strokeWidth=1.5, opacity=1).encode(
        x=x, y=y, color=colour, tooltip=build_tooltips(("which", "seed", "score"))
    )
    return alt.layer(bars, large, small).properties(height=ROW_HEIGHT_PX * len(found))


def _build_mean_row(one: Finalist) -> Row:
    reach = one.std if len(one.scores) > 1 else 0.0
    ends = {"low": one.mean - reach, "high": one.mean + reach}
    return {"which": one.label, "setting": format_setting(one.setting), "score": one.mean, "std": reach, **ends}
