"""Plot the importance of hyper-parameters for the score: fANOVA (Hutter et al., 2014) in Optuna's implementation."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

import altair as alt
import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from sweep.config import space
from sweep.report.data import ReportData
from sweep.report.figure import Figure, Plot, Table
from sweep.report.marks import Row, embed_rows
from sweep.report.numbers import join_names
from sweep.report.theme import BLUE, GREY

MAX_TRIALS = 100
"""Trials of which importances are computed, evenly chosen: the time grows with their number."""
MIN_TRIALS = 8
"""Trials with a score below which importances would be noise."""
N_RESAMPLES = 120
"""Number of trees, each grown from its own bootstrap of the trials, behind an interval: 0.6 s for 24 trials."""
INTERVAL_PERCENT = (2.5, 97.5)
Interval: TypeAlias = tuple[float, float]


def plot_importance(sweep: ReportData) -> Figure:
    """Plot a bar for each searched hyper-parameter, with its interval; the bars sum to 1."""
    shares, trials = compute_importances(sweep), min(MAX_TRIALS, len(sweep.ranking))
    those = f"{trials} trials" + (f", evenly chosen of {len(sweep.ranking)}" if len(sweep.ranking) > trials else "")
    intervals = compute_intervals(sweep) if shares else {}
    texts = {name: f"{share:.0%} [{format_interval(intervals[name])}]" for name, share in shares.items()}
    return Figure(
        key="importance",
        title=name_leader(texts, intervals, trials) if shares else _explain_missing(sweep, trials),
        note=f"fANOVA of {those}: the share of the score's variance over the space that each hyper-parameter "
        f"explains alone, made to sum to 1. Lines: 95 % of {N_RESAMPLES} trees, each of its own bootstrap of the "
        "trials.",
        alt="Bar chart of importances. " + ", ".join(f"{name}: {text}" for name, text in texts.items()) + ".",
        plot=_draw_plot(shares, intervals) if shares else None,
        table=Table(
            columns=("hyper-parameter", "importance", "from", "to"),
            rows=[(name, share, *intervals[name]) for name, share in shares.items()],
        ),
    )


def format_interval(interval: Interval) -> str:
    """Return the ends of an interval of shares in percent."""
    return ", ".join(f"{100 * end:.0f}" for end in interval)


def name_leader(texts: Mapping[str, str], intervals: Mapping[str, Interval], trials: int) -> str:
    """Return the title: the share of the leading hyper-parameter only where its interval lies above all others."""
    leader = next(iter(texts))
    alike = [name for name in texts if intervals[name][1] >= intervals[leader][0]]
    if alike == [leader]:
        return f"{leader} explains {texts[leader]} of the score's variance"
    return f"{trials} trials are too few to tell the importances of {join_names(alike)} apart"


def _explain_missing(sweep: ReportData, trials: int) -> str:
    if len(sweep.config.space) < 2:
        return "No importances: fewer than two hyper-parameters are searched"
    if trials < MIN_TRIALS:
        return f"No importances yet: {trials} trials have a score, and it takes {MIN_TRIALS}"
    return "No importances: all scores are equal"


def compute_importances(sweep: ReportData) -> dict[str, float]:
    """Compute the importance of each searched hyper-parameter, largest first.

    Returns:
        Shares in [0, 1] that sum to 1; empty with fewer than two searched hyper-parameters, with fewer than
        `MIN_TRIALS` scores, or if all scores are equal.
    """
    trials = sweep.ranking
    if len(sweep.config.space) < 2 or len(trials) < MIN_TRIALS or trials[0].score == trials[-1].score:
        return {}
    found = get_param_importances(_build_study(sweep), evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def compute_intervals(sweep: ReportData) -> dict[str, Interval]:
    """Compute the 95 % interval of each importance over trees that saw other trials; there must be importances.

    A tree that saw only equal scores says nothing and is left out.
    """
    study, found = _build_study(sweep), []
    for seed in range(N_RESAMPLES):
        with suppress(RuntimeError):  # all scores of the tree are equal
            found.append(get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=1, seed=seed)))
    ends = {name: np.percentile([shares[name] for shares in found], INTERVAL_PERCENT) for name in sweep.config.space}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _build_study(sweep: ReportData) -> optuna.Study:
    """Build a study in memory of the trials that have a score, evenly chosen from the best to the worst."""
    drawn = space.build_distributions(sweep.config)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna logs the creation of each study
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    step = max(1.0, len(sweep.ranking) / MAX_TRIALS)
    for place in range(min(MAX_TRIALS, len(sweep.ranking))):
        record = sweep.ranking[int(place * step)]
        params = {name: record.setting[name] for name in drawn}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=drawn, value=record.score))
    return study


def _draw_plot(shares: Mapping[str, float], intervals: Mapping[str, Interval]) -> Plot:
    rows: list[Row] = [
        {"name": name, "share": share, "from": intervals[name][0], "to": intervals[name][1]}
        for name, share in shares.items()
    ]
    y = alt.Y("name:N", title=None, sort=list(shares), axis=alt.Axis(labelLimit=130, grid=False))
    x = alt.X("share:Q", title="importance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    bars = alt.Chart(embed_rows(rows)).encode(x=x, y=y)
    lines = bars.mark_rule(strokeWidth=2, color=GREY).encode(x=alt.X("from:Q", title="importance"), x2="to:Q")
    labels = bars.mark_text(align="left", dx=5).encode(x=alt.X("to:Q"), text=alt.Text("share:Q", format=".0%"))
    return alt.layer(bars.mark_bar(color=BLUE, height=18), lines, labels).properties(height=34 * len(shares))
