"""Plot the importance of hyper-parameters for the score: fANOVA (Hutter et al., 2014) in Optuna's implementation."""

import altair as alt
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from sweep.config import space
from sweep.report.data import ReportData
from sweep.report.figure import Figure, Plot, Table
from sweep.report.marks import Row, embed_rows
from sweep.report.theme import BLUE

MIN_TRIALS = 8
"""Trials with a score below which importances would be noise."""


def plot_importance(sweep: ReportData) -> Figure:
    """Plot a bar for each searched hyper-parameter; the bars sum to 1."""
    shares, trials = compute_importances(sweep), len(sweep.ranking)
    first = next(iter(shares), None)
    return Figure(
        key="importance",
        title=f"{first} explains {shares[first]:.0%} of the score's variance"
        if first
        else _explain_missing(sweep, trials),
        note=f"fANOVA of {trials} trials: the share of the score's variance over the space that each hyper-parameter "
        "explains alone, made to sum to 1.",
        alt="Bar chart of importances. " + ", ".join(f"{name}: {share:.0%}" for name, share in shares.items()) + ".",
        plot=_draw_plot(shares) if shares else None,
        table=Table(columns=("hyper-parameter", "importance"), rows=list(shares.items())),
    )


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
    drawn = space.build_distributions(sweep.config)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna logs the creation of each study
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for record in trials:
        params = {name: record.setting[name] for name in drawn}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=drawn, value=record.score))
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def _draw_plot(shares: dict[str, float]) -> Plot:
    rows: list[Row] = [{"name": name, "share": share} for name, share in shares.items()]
    y = alt.Y("name:N", title=None, sort=list(shares), axis=alt.Axis(labelLimit=130, grid=False))
    x = alt.X("share:Q", title="importance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    bars = alt.Chart(embed_rows(rows)).encode(x=x, y=y)
    text = alt.Text("share:Q", format=".0%")
    return alt.layer(
        bars.mark_bar(color=BLUE, height=18), bars.mark_text(align="left", dx=5).encode(text=text)
    ).properties(height=34 * len(shares))
