"""Plot the score at each τ: what is still remembered when the share τ of the target's retain ES must be kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import altair as alt

from sweep.records import TrialRecord
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Figure, Plot, Table
from sweep.report.highlights import find_highlights, mark_stand_in
from sweep.report.marks import SCORE_TITLE, Row, build_tooltips, embed_rows, encode_colour, encode_shape
from sweep.results.statistics import collect_repeat_values, compare_shared_seeds, mean, std, summarize_finalists

TAU_METRIC_PREFIX = "score/tau_"


@dataclass(frozen=True, kw_only=True)
class RetentionLevel:
    """A setting's score at one τ.

    Attributes:
        which: label of the setting.
        tau: τ in (0, 1].
        scores: score by seed, at least one; lower is better.
    """

    which: str
    tau: float
    scores: Mapping[int, float]

    @property
    def std_or_zero(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        return std(self.scores) if len(self.scores) > 1 else 0.0


def plot_retention(sweep: ReportData) -> Figure:
    """Plot the finalists' curves over report seeds; while there are no finalists, those of the highlighted trials."""
    found = _collect_finalist_levels(sweep) or _collect_search_levels(sweep)
    seen = _describe_leaders(found)
    seeds = max((len(level.scores) for level in found), default=0)
    return Figure(
        key="retention",
        title=seen if found else "No score at any level of retention yet",
        note="The score where the share τ of the target's retain ES has to be kept. "
        + (f"Mean ± one standard deviation over {seeds} report seeds." if seeds > 1 else "One seed."),
        alt=f"Line chart of the score at each τ. {seen}.",
        plot=_draw_plot(found) if found else None,
        table=Table(
            columns=("which", "τ", "score", "± std", "seeds"),
            rows=[
                (level.which, level.tau, mean(level.scores), level.std_or_zero, len(level.scores)) for level in found
            ],
        ),
    )


def _describe_leaders(found: Sequence[RetentionLevel]) -> str:
    """Describe the levels at which a setting is better than all others, as far as 95 % intervals tell them apart."""
    taus, labels = _list_taus(found), list(dict.fromkeys(level.which for level in found))
    if len(labels) < 2:
        return f"The score of “{''.join(labels)}” at {len(taus)} levels of retention"
    leaders = [_find_leader(_select_tau(found, tau)) for tau in taus]
    counts = {f"“{label}” is better at": leaders.count(label) for label in labels} | {"tied at": leaders.count("")}
    said = ", ".join(f"{text} {count}" for text, count in counts.items() if count)
    return f"{said[0].upper()}{said[1:]} of {len(taus)} levels of retention"


def _find_leader(levels: Sequence[RetentionLevel]) -> str:
    """Find the setting that is better than all others at one τ; empty where the 95 % interval of one contains 0."""
    first, *others = sorted(levels, key=lambda level: mean(level.scores))
    gaps = [compare_shared_seeds(first.scores, other.scores) for other in others]
    return first.which if all(gap is not None and not gap.is_tied for gap in gaps) else ""


def _collect_finalist_levels(sweep: ReportData) -> list[RetentionLevel]:
    """Collect the finalists' scores at each τ."""
    taus = _find_tau_metrics(record for record in sweep.records if record.phase == "finalist")
    return [
        RetentionLevel(which=mark_stand_in(one.label, sweep.config), tau=tau, scores=scores)
        for one in summarize_finalists(sweep)
        for tau, key in taus.items()
        if (scores := collect_repeat_values(sweep.records, one.setting, key))
    ]


def _collect_search_levels(sweep: ReportData) -> list[RetentionLevel]:
    """Collect the highlighted search trials' scores at each τ."""
    return [
        RetentionLevel(which=role.label, tau=tau, scores={role.record.seed: role.record.metrics[key]})
        for role in find_highlights(sweep)
        for tau, key in _find_tau_metrics([role.record]).items()
    ]


def _find_tau_metrics(records: Iterable[TrialRecord]) -> dict[float, str]:
    """Find the metrics that hold a score at one τ, by τ in ascending order."""
    keys = {key for record in records for key in record.metrics if key.startswith(TAU_METRIC_PREFIX)}
    return dict(sorted((float(key.removeprefix(TAU_METRIC_PREFIX)), key) for key in keys))


def _list_taus(found: Sequence[RetentionLevel]) -> list[float]:
    return sorted({level.tau for level in found})


def _select_tau(found: Sequence[RetentionLevel], tau: float) -> list[RetentionLevel]:
    return [level for level in found if level.tau == tau]


def _build_row(level: RetentionLevel) -> Row:
    middle, reach = mean(level.scores), level.std_or_zero
    ends = {"low": middle - reach, "high": middle + reach}
    return {"which": level.which, "tau": level.tau, "score": middle, "std": reach, **ends}


def _draw_plot(found: Sequence[RetentionLevel]) -> Plot:
    rows = [_build_row(level) for level in found]
    axis = alt.Axis(values=_list_taus(found), format=".3~g", labelSeparation=2)
    x = alt.X("tau:Q", title="τ, the share that is kept", axis=axis, scale=alt.Scale(zero=False, padding=14))
    y, colour = alt.Y("score:Q", title=SCORE_TITLE), encode_colour(rows)
    chart = alt.Chart(embed_rows(rows))
    return alt.layer(
        chart.mark_area(opacity=0.13).encode(x=x, y=alt.Y("low:Q", title=SCORE_TITLE), y2="high:Q", color=colour),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        chart.mark_point(filled=True, size=110, opacity=1).encode(
            x=x, y=y, color=colour, shape=encode_shape(rows), tooltip=build_tooltips(("which", "tau", "score", "std"))
        ),
    ).properties(height=PLOT_HEIGHT_PX)
