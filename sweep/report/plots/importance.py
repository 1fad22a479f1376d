"""Plot the importance of hyper-parameters for the score: fANOVA (Hutter et al., 2014) in Optuna's implementation."""

import altair as alt
import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from sweep.config import space
from sweep.report.data import Reported
from sweep.report.figure import Figure, Plot, Table
from sweep.report.marks import Row, data
from sweep.report.theme import BLUE
from sweep.results.statistics import ranked

FEWEST = 8
"""Trials with a score below which importances would be noise."""


def importance(sweep: Reported) -> Figure:
    """Plot a bar for each searched hyper-parameter; the bars sum to 1."""
    shares, trials = importances(sweep), len(ranked(sweep.records))
    first = next(iter(shares), None)
    return Figure(
        key="importance",
        title=f"{first} explains {shares[first]:.0%} of the score's variance" if first else _why_not(sweep, trials),
        note=f"fANOVA of {trials} trials: the share of the score's variance over the space that each hyper-parameter "
        "explains alone, made to sum to 1.",
        alt="Bar chart of importances. " + ", ".join(f"{name}: {share:.0%}" for name, share in shares.items()) + ".",
        plot=_plot(shares) if shares else None,
        table=Table(columns=("hyper-parameter", "importance"), rows=list(shares.items())),
    )


def _why_not(sweep: Reported, trials: int) -> str:
    if len(sweep.config.space) < 2:
        return "No importances: fewer than two hyper-parameters are searched"
    if trials < FEWEST:
        return f"No importances yet: {trials} trials have a score, and it takes {FEWEST}"
    return "No importances: all scores are equal"


def importances(sweep: Reported) -> dict[str, float]:
    """Compute the importance of each searched hyper-parameter, largest first.

    Returns:
        Shares in [0, 1] that sum to 1; empty with fewer than two searched hyper-parameters, with fewer than
        `MIN_TRIALS` scores, or if all scores are equal.
    """
    trials = ranked(sweep.records)
    if len(sweep.config.space) < 2 or len(trials) < FEWEST or trials[0].score == trials[-1].score:
        return {}
    drawn = space.distributions(sweep.config)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # Optuna logs the creation of each study
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for record in trials:
        params = {name: record.setting[name] for name in drawn}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=drawn, value=record.score))
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def _plot(shares: dict[str, float]) -> Plot:
    rows: list[Row] = [{"name": name, "share": share} for name, share in shares.items()]
    y = alt.Y("name:N", title=None, sort=list(shares), axis=alt.Axis(labelLimit=130, grid=False))
    x = alt.X("share:Q", title="importance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    bars = alt.Chart(data(rows)).encode(x=x, y=y)
    text = alt.Text("share:Q", format=".0%")
    return alt.layer(
        bars.mark_bar(color=BLUE, height=18), bars.mark_text(align="left", dx=5).encode(text=text)
    ).properties(height=34 * len(shares))
