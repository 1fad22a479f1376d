"""Render the tables that are printed at the end: the settings of a sweep, several sweeps, and the verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.records import Setting, TrialRecord, escape_unprintable, format_value
from sweep.results.comparison import WINS, ObjectiveResult, compare_objectives, explain_no_verdict
from sweep.results.recovery import judge_recovery
from sweep.results.statistics import (
    TIED,
    Finalist,
    PairedDifference,
    collect_repeat_values,
    describe_place,
    mean,
    std,
    summarize_finalists,
    summarize_race,
)
from sweep.results.sweep_records import SweepRecords
from sweep.search.paper import list_qualifiers

TABLE_METRICS = {
    "forget ES": "forget/es",
    "forget ES, paraphrased": "forget/es_paraphrase",
    "retain ES": "retain/es",
    "retain ES, paraphrased": "retain/es_paraphrase",
    "score": "score",
    "mix": "mix",
}
"""Metric keys by row label of the printed table."""


def render_sweep(sweep: SweepRecords) -> RenderableType:
    """Render a sweep: its best setting beside the paper's, the race, the report seeds, and the recovery verdict."""
    winner, verdict = sweep.best, judge_recovery(sweep)
    if winner is None:
        return Text("No trial finished.")
    parts: list[RenderableType] = [_build_best_table(sweep, winner)]
    if winner.reason:
        parts += [Text(f"Nothing was found: even the best trial has the worst score ({winner.reason}).")]
    parts += [_build_race_table(sweep)] if sweep.race.n_rounds else []
    repeated = summarize_finalists(sweep)
    parts += [_build_finalist_table(repeated)] if repeated else []
    parts += [_to_plain_text(verdict.sentence)] if verdict else []
    return Group(*parts)


def render_comparison(sweeps: Sequence[SweepRecords]) -> RenderableType:
    """Render several sweeps: a table and the winner for each model and dataset, then the recovery verdicts."""
    groups = compare_objectives(sweeps)
    verdicts = [_to_plain_text(one.recovery.sentence) for group in groups for one in group if one.recovery]
    return Group(
        *(
            part
            for group in groups
            for part in (_build_comparison_table(group), _to_plain_text(_describe_winner(group)))
        ),
        *verdicts,
    )


def _build_best_table(sweep: SweepRecords, winner: TrialRecord) -> Table:
    """Build a table with a row for each hyper-parameter and metric, and a column for each setting."""
    sides: dict[str, tuple[Setting, TrialRecord | None]] = {"best": (winner.setting, winner)}
    config, qualified = sweep.config, ", ".join(list_qualifiers(sweep.config))
    if sweep.paper is not None:
        label = f"paper, {config.data.paper_split}" + (f"\n({qualified})" if qualified else "")
        sides[label] = (sweep.paper, sweep.find_search_trial(sweep.paper))
    table = Table(
        title=_to_plain_text(f"{config.objective} on {config.model.name}, {config.data.name}"), title_justify="left"
    )
    table.add_column("")
    for label in sides:
        table.add_column(_to_plain_text(label), justify="right")
    for name in winner.setting:
        table.add_row(name, *(_to_plain_text(format_value(setting.get(name, "-"))) for setting, _ in sides.values()))
    table.add_section()
    table.add_row("measured on", *(_name_seeds(sweep, *side) for side in sides.values()))
    for name, key in TABLE_METRICS.items():
        table.add_row(name, *(_format_metric(sweep, *side, key) for side in sides.values()))
    return table


def _name_seeds(sweep: SweepRecords, setting: Setting, trial: TrialRecord | None) -> str:
    """Name the seeds on which the table's metrics of a setting were measured: the report's, or a search trial's."""
    if n_seeds := len(collect_repeat_values(sweep.records, setting)):
        return f"{n_seeds} report seeds"
    return "-" if trial is None else f"trial {trial.index} alone"


def _build_race_table(sweep: SweepRecords) -> Table:
    """Build a table with a row for each setting in the race, the winner first."""
    table = Table(title=f"the race over {sweep.race.n_rounds} seeds: it chooses the best setting", title_justify="left")
    for header in ("", "setting", "mean ± std (seeds)", "above the best", "result"):
        table.add_column(header)
    for one, racer in zip(summarize_race(sweep), sweep.race.racers, strict=True):
        spread = f"{_format_mean_std(one.scores)} ({len(one.scores)})"
        # No interval of its own: who is behind is told by the noise of all settings together.
        gap = "" if one.difference is None else f"{one.difference.mean:+.3f}"
        result = _to_plain_text(describe_place(sweep.race, racer))
        table.add_row(one.label, _format_setting(one.setting), spread, gap, result)
    return table


def _build_finalist_table(repeated: Iterable[Finalist]) -> Table:
    """Build a table with a row for each setting that ran on report seeds, which chose nothing."""
    table = Table(title="score on report seeds", title_justify="left")
    for header in ("", "setting", "mean ± std (seeds)", "above the best, 95 %", "wins"):
        table.add_column(header)
    for one in repeated:
        spread = f"{_format_mean_std(one.scores)} ({len(one.scores)})"
        table.add_row(one.label, _format_setting(one.setting), spread, _format_interval(one.difference), one.verdict)
    return table


def _build_comparison_table(group: Sequence[ObjectiveResult]) -> Table:
    """Build a table with a row for each sweep on one model and one dataset; it fits into 80 columns."""
    table = Table(
        title=_to_plain_text(f"{group[0].model}, {group[0].data}: mean ± std on {group[0].measured_on} seeds"),
        title_justify="left",
        caption="each interval is of one difference alone; p is corrected for all of them (Holm)",
        caption_justify="left",
        pad_edge=False,
        show_lines=True,
    )
    for header in ("", "score", "forget ES", "retain ES", "above the best,\n95 %", "paper's\nsetting"):
        table.add_column(header, overflow="fold")
    for one in group:
        table.add_row(
            _to_plain_text(f"{one.objective}\n").append(_format_setting(one.setting or {})),
            *(_format_mean_std(by_seed, "\n") for by_seed in (one.scores, one.forget_es, one.retain_es)),
            _format_comparison(one),
            one.recovery.verdict.replace(" ", "\n") if one.recovery else "",
        )
    return table


def _format_comparison(one: ObjectiveResult) -> Text:
    """Return the difference from the best with interval, verdict and corrected p; the verdict alone without one."""
    gap = one.difference
    if gap is None:
        return Text(one.verdict)
    return Text(f"{gap.mean:+.3f}\n[{gap.low:.3f}, {gap.high:.3f}]\n{one.verdict}, p={one.p:.3f}")


def _describe_winner(group: Sequence[ObjectiveResult]) -> str:
    """Return a sentence that names the winner, or the tied objectives, on one model and one dataset."""
    where = f"{group[0].model}, {group[0].data}"
    if winner := next((one.objective for one in group if one.verdict == WINS), None):
        return f"{where}: {winner} wins."
    tied = ", ".join(one.objective for one in group if one.verdict == TIED)
    return f"{where}: nobody wins; tied: {tied}." if tied else f"{where}: {explain_no_verdict(group)}."


def _to_plain_text(text: str) -> Text:
    """Return text that a user may have written, without markup and control characters."""
    return Text(escape_unprintable(text))


def _format_setting(setting: Setting) -> Text:
    """Return a setting with one hyper-parameter a line."""
    return _to_plain_text("\n".join(f"{name}={format_value(value)}" for name, value in setting.items()))


def _format_mean_std(by_seed: Mapping[int, float], between: str = " ") -> str:
    """Return `mean ± std` over seeds, with `between` before the sign; the mean alone of one seed, `-` without any."""
    if len(by_seed) > 1:
        return f"{mean(by_seed):.3f}{between}± {std(by_seed):.3f}"
    return f"{mean(by_seed):.3f}" if by_seed else "-"


def _format_interval(gap: PairedDifference | None) -> Text:
    """Return a difference with its 95 % interval; empty for None."""
    return Text("" if gap is None else f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")


def _format_metric(sweep: SweepRecords, setting: Setting, trial: TrialRecord | None, key: str) -> str:
    """Return a setting's mean metric on report seeds, before these have run its search trial's; `-` without a value."""
    if collect_repeat_values(sweep.records, setting):
        values = [*collect_repeat_values(sweep.records, setting, key).values()]
    else:
        values = [trial.metrics[key]] if trial is not None and key in trial.metrics else []
    return f"{fmean(values):.3f}" if values else "-"
