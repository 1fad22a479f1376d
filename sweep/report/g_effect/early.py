"""Relate the gradient effects of the first epoch to the scores of the trials that had them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import altair as alt
from scipy.stats import spearmanr

from sweep.records import Risk, TrialRecord
from sweep.report.data import ReportData
from sweep.report.figure import PLOT_HEIGHT_PX, Cell, Figure, Plot, Table
from sweep.report.g_effect.curves import RISKS, average
from sweep.report.g_effect.scales import TICK_FORMAT, build_symlog
from sweep.report.marks import SCORE_TITLE, TRIAL_KEYS, Row, build_trial_row, draw_trials

MIN_TRIALS = 5
"""Trials below which no correlation is computed."""
WIDE_RATIO = 100
"""Ratio of the largest and the smallest effect above which the axis is logarithmic on both sides of 0."""
ALL_LABEL = "all together"


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Spearman's rank correlation ρ of n pairs, and the p-value of ρ = 0; NaN where all values of a side are equal."""

    rho: float
    p: float
    n: int

    def __str__(self) -> str:
        """Format it as text: `0.62 (24 trials, p = 0.001)`."""
        if math.isnan(self.rho):
            return f"not defined ({self.n} trials, all with the same effect or score)"
        return f"{self.rho:.2f} ({self.n} trials, p {format_p(self.p)})"


def format_p(p: float) -> str:
    """Format a p-value with its relation: `= 0.012`, `< 0.001`."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def correlate(pairs: Sequence[tuple[float, float]]) -> RankCorrelation | None:
    """Correlate the ranks of pairs; None for fewer than `MIN_TRIALS`."""
    if len(pairs) < MIN_TRIALS:
        return None
    effects, scores = zip(*pairs, strict=True)
    if len(set(effects)) == 1 or len(set(scores)) == 1:
        return RankCorrelation(rho=math.nan, p=math.nan, n=len(pairs))
    found = spearmanr(effects, scores)
    return RankCorrelation(rho=float(found.statistic), p=float(found.pvalue), n=len(pairs))


def plot_early(sweep: ReportData, risk: Risk) -> Figure:
    """Plot the score of each finished search trial over its mean effect on a risk in the first epoch."""
    measured = find_measured(sweep)
    rows = [build_trial_row(record) | {"effect": measure_early(sweep, record, risk)} for record in measured]
    found = correlate(list_pairs(sweep, risk))
    seen = (
        f"Too few trials to relate early effects on the {RISKS[risk]} to scores: {len(measured)}, and it takes"
        f" {MIN_TRIALS}"
        if found is None
        else f"Early effect on the {RISKS[risk]} and score: rank correlation {found}"
    )
    return Figure(
        key=f"g-effect-early-{risk}",
        title=seen,
        note=f"Score over {describe_early(sweep)}; all trials begin with the same weights. "
        "Spearman's rank correlation: 1 where a higher effect always goes with a higher, worse score, -1 where always "
        "with a lower one. p is the chance of one so large if there were no relation; it holds for one look at one "
        "relation, and says nothing about other models and rows.",
        alt=f"Scatter plot of the score over the early gradient effect on the {RISKS[risk]}. {seen}.",
        plot=None if found is None else _draw_plot(rows),
        table=Table(columns=(*TRIAL_KEYS, "early effect"), rows=[list(row.values()) for row in rows]),
    )


def build_correlation_table(sweeps: Mapping[str, ReportData]) -> Table:
    """Build the table of the rank correlations of early effects and scores, by objective and of all together."""
    rows = [_build_row(label, {risk: list_pairs(sweep, risk) for risk in RISKS}) for label, sweep in sweeps.items()]
    together = {risk: [pair for sweep in sweeps.values() for pair in list_pairs(sweep, risk)] for risk in RISKS}
    columns = [f"early effect on the {name} and score" for name in RISKS.values()]
    return Table(columns=("objective", "trials", *columns), rows=[*rows, _build_row(ALL_LABEL, together)])


def find_measured(sweep: ReportData) -> list[TrialRecord]:
    """Return the finished search trials with gradient effects, best first."""
    return [record for record in sweep.ranking if record.g_effects]


def measure_early(sweep: ReportData, record: TrialRecord, risk: Risk) -> float:
    """Return the objective's mean effect on a risk in the first epoch; at its first measurement where that is later."""
    steps = max(1, (sweep.n_forget or 0) // sweep.config.train.batch)
    early = [effect for effect in record.g_effects if effect["step"] < steps] or record.g_effects[:1]
    return fmean(average([effect], risk) for effect in early)


def describe_early(sweep: ReportData) -> str:
    """Describe which effects are early; without the number of forget rows the first epoch has no known end."""
    return f"the objective's {'effect at the target' if sweep.n_forget is None else 'mean effect in the first epoch'}"


def list_pairs(sweep: ReportData, risk: Risk) -> list[tuple[float, float]]:
    """List early effect and score of each finished search trial."""
    return [(measure_early(sweep, record, risk), record.score) for record in find_measured(sweep)]


def _build_row(label: str, pairs: Mapping[Risk, Sequence[tuple[float, float]]]) -> list[Cell]:
    texts = [str(found) if (found := correlate(own)) else "too few trials" for own in pairs.values()]
    return [label, len(pairs["forget"]), *texts]


def _draw_plot(rows: Sequence[Row]) -> Plot:
    effects = [float(str(row["effect"])) for row in rows]
    x = alt.X("effect:Q", title="early effect", scale=alt.Scale(zero=False, padding=14))
    if max(map(abs, effects)) > WIDE_RATIO * min(map(abs, effects)):
        scale, ticks = build_symlog(effects)
        x = x.scale(scale).axis(values=ticks, format=TICK_FORMAT)
    y = alt.Y("score:Q", title=SCORE_TITLE, scale=alt.Scale(zero=False))
    return alt.layer(draw_trials(rows, x, y, (*TRIAL_KEYS, "effect"))).properties(height=PLOT_HEIGHT_PX)
