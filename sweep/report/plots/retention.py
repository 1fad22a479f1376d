"""Plot the score at each τ: what is still remembered when the share τ of the target's retain ES must be kept."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import altair as alt

from sweep.records import Record
from sweep.report.data import Reported
from sweep.report.figure import HEIGHT, Figure, Plot, Table
from sweep.report.highlights import roles, shown
from sweep.report.marks import LOWER, Row, colour_of, data, shape_of, tips
from sweep.results.statistics import finalists, mean, repeats, std

PREFIX = "score/tau_"


@dataclass(frozen=True, kw_only=True)
class Level:
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
    def reach(self) -> float:
        """Standard deviation over seeds; 0 for one seed."""
        return std(self.scores) if len(self.scores) > 1 else 0.0


def retention(sweep: Reported) -> Figure:
    """Plot the finalists' curves over fresh seeds; while there are no finalists, those of the highlighted trials."""
    found = _repeated(sweep) or _searched(sweep)
    lowest = Counter(min(_at(found, tau), key=lambda level: mean(level.scores)).which for tau in _taus(found))
    (first, times), *_ = lowest.most_common(1) or [("none", 0)]
    seen = f"“{first}” scores lowest at {times} of {lowest.total()} levels of retention"
    seeds = max((len(level.scores) for level in found), default=0)
    return Figure(
        key="retention",
        title=seen if found else "No score at any level of retention yet",
        note="The score where the share τ of the target's retain ES has to be kept. "
        + (f"Mean ± one standard deviation over {seeds} fresh seeds." if seeds > 1 else "One seed."),
        alt=f"Line chart of the score at each τ. {seen}.",
        plot=_plot(found) if found else None,
        table=Table(
            columns=("which", "τ", "score", "± std", "seeds"),
            rows=[(level.which, level.tau, mean(level.scores), level.reach, len(level.scores)) for level in found],
        ),
    )


def _repeated(sweep: Reported) -> list[Level]:
    """Collect the finalists' scores at each τ."""
    taus = _keys(record for record in sweep.records if record.phase == "finalist")
    return [
        Level(which=shown(one.label, sweep.config), tau=tau, scores=scores)
        for one in finalists(sweep.config, sweep.records)
        for tau, key in taus.items()
        if (scores := repeats(sweep.records, one.setting, key))
    ]


def _searched(sweep: Reported) -> list[Level]:
    """Collect the highlighted search trials' scores at each τ."""
    return [
        Level(which=role.label, tau=tau, scores={role.record.seed: role.record.metrics[key]})
        for role in roles(sweep.config, sweep.records)
        for tau, key in _keys([role.record]).items()
    ]


def _keys(records: Iterable[Record]) -> dict[float, str]:
    """Find the metrics that hold a score at one τ, by τ in ascending order."""
    keys = {key for record in records for key in record.metrics if key.startswith(PREFIX)}
    return dict(sorted((float(key.removeprefix(PREFIX)), key) for key in keys))


def _taus(found: Sequence[Level]) -> list[float]:
    return sorted({level.tau for level in found})


def _at(found: Sequence[Level], tau: float) -> list[Level]:
    return [level for level in found if level.tau == tau]


def _row(level: Level) -> Row:
    middle, reach = mean(level.scores), level.reach
    ends = {"low": middle - reach, "high": middle + reach}
    return {"which": level.which, "tau": level.tau, "score": middle, "std": reach, **ends}


def _plot(found: Sequence[Level]) -> Plot:
    rows = [_row(level) for level in found]
    axis = alt.Axis(values=_taus(found), format=".3~g", labelSeparation=2)
    x = alt.X("tau:Q", title="τ, the share that is kept", axis=axis, scale=alt.Scale(zero=False, padding=14))
    y, colour = alt.Y("score:Q", title=LOWER), colour_of(rows)
    chart = alt.Chart(data(rows))
    return alt.layer(
        chart.mark_area(opacity=0.13).encode(x=x, y=alt.Y("low:Q", title=LOWER), y2="high:Q", color=colour),
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        chart.mark_point(filled=True, size=110, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape_of(rows), tooltip=tips(("which", "tau", "score", "std"))
        ),
    ).properties(height=HEIGHT)
