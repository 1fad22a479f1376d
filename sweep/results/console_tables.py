"""Render what is printed at the end: the verdict in words first, then one table, then what else has to be known.

All of it fits into 80 columns and needs no colours, so that a pipe gets what a terminal shows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from statistics import fmean

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eval.metrics.calibrated_score import extraction_strengths
from sweep.records import Setting, TrialRecord, escape_unprintable, format_value
from sweep.results.comparison import BEHIND, REPORT, WINS, ObjectiveResult, compare_objectives, explain_no_verdict
from sweep.results.recovery import judge_recovery
from sweep.results.sentences import describe_race, describe_result, list_warnings
from sweep.results.statistics import (
    TIED,
    PairedDifference,
    collect_repeat_values,
    compare_shared_seeds,
    mean,
    std,
)
from sweep.results.sweep_records import SweepRecords
from sweep.search.paper import list_qualifiers

SCORE_LABEL = "forget ES at equal retention\n(the score), lower is better"
OTHER_METRICS = {
    "mix (share of the unlearned\nweights in what is scored)": "mix",
    "forget ES before mixing": "forget/es",
    "  of paraphrased questions": "forget/es_paraphrase",
    "retain ES before mixing,\nhigher is better": "retain/es",
    "  of paraphrased questions ": "retain/es_paraphrase",
}
"""Metrics below the score, by row of the table."""
RESULT_WORDS = {WINS: "best", BEHIND: "worse", TIED: "tied"}
"""Words of the column `result`, by verdict of a comparison."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """A setting in the table: its heading, and its search trial if it has one."""

    heading: str
    setting: Setting
    trial: TrialRecord | None


def render_sweep(
    sweep: SweepRecords, target: Mapping[str, float] | None = None, n_holdout: int | None = None
) -> RenderableType:
    """Render a sweep: what it found in words, its best setting beside the paper's, the race and warnings.

    Args:
        sweep: the sweep with its trials.
        target: the metrics of its target, for orientation.
        n_holdout: number of its holdout rows.
    """
    said = _to_plain_text(describe_result(sweep))
    if sweep.best is None:
        return said
    race = describe_race(sweep)
    table = _build_best_table(sweep, sweep.best, target or {})
    warnings = _render_warnings(list_warnings(sweep, target or {}, n_holdout))
    return Group(said, "", table, "", *([_to_plain_text(race)] if race else []), *warnings)


def render_comparison(sweeps: Sequence[SweepRecords], warnings: Iterable[str] = ()) -> RenderableType:
    """Render several sweeps: for each model and dataset who is best and a table, then the verdicts on the paper's.

    Args:
        sweeps: the sweeps.
        warnings: what else has to be known of them.
    """
    groups = compare_objectives(sweeps)
    judged = [one for group in groups for one in group if one.measured_on == REPORT]
    verdicts = [_to_plain_text(one.recovery.sentence) for one in judged if one.recovery]
    return Group(
        *(
            part
            for group in groups
            for part in (_to_plain_text(_describe_winner(group)), "", _build_comparison_table(group), "")
        ),
        *verdicts,
        *_render_warnings(warnings),
    )


def _render_warnings(warnings: Iterable[str]) -> list[Text]:
    """Render each warning once, as a sentence."""
    return [_to_plain_text(f"note: {warning.rstrip('.')}.") for warning in dict.fromkeys(warnings)]


def _make_table(title: str, caption: str | None = None) -> Table:
    """Make an empty table: a rule below its head, no frame."""
    return Table(
        title=_to_plain_text(title),
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )


def _build_best_table(sweep: SweepRecords, best: TrialRecord, target: Mapping[str, float]) -> Table:
    """Build a table with a row for each hyper-parameter and metric, and a column for each setting and the target."""
    sides, config = _list_sides(sweep, best), sweep.config
    table = _make_table(f"{config.objective} on {config.model.name}, {config.data.name}")
    table.add_column("")
    for heading in [*(side.heading for side in sides), *(["target"] if target else [])]:
        table.add_column(_to_plain_text(heading), justify="right", overflow="fold")
    for name in best.setting:
        table.add_row(name, *(_to_plain_text(format_value(side.setting.get(name, "-"))) for side in sides))
    table.add_section()
    table.add_row("measured on", *(_name_seeds(sweep, side) for side in sides))
    for row in _list_score_rows(sweep, sides, target):
        table.add_row(*row, style="bold" if row[0] == SCORE_LABEL else None)
    table.add_section()
    for label, key in OTHER_METRICS.items():
        cells = [*(_format_metric(sweep, side, key) for side in sides), _format_number(target.get(key))]
        if any(cells):
            table.add_row(label, *(cell or "-" for cell in cells[: len(sides)]), *cells[len(sides) :][: bool(target)])
    return table


def _list_sides(sweep: SweepRecords, best: TrialRecord) -> list[_Side]:
    """List the settings of the table: the best, and the paper's where it is another."""
    if sweep.paper is None:
        return [_Side(heading="best", setting=best.setting, trial=best)]
    qualifiers = ",\n".join(list_qualifiers(sweep.config))
    qualified = f"\n({qualifiers})" if qualifiers else ""
    if sweep.paper == best.setting:
        return [_Side(heading=f"best, which is\nthe paper's{qualified}", setting=best.setting, trial=best)]
    of_paper = sweep.find_search_trial(sweep.paper)
    return [
        _Side(heading="best", setting=best.setting, trial=best),
        _Side(heading=f"paper's setting{qualified}", setting=sweep.paper, trial=of_paper),
    ]


def _name_seeds(sweep: SweepRecords, side: _Side) -> str:
    """Name the seeds on which the table's metrics of a setting were measured: the report's, or a search trial's."""
    if n_seeds := len(collect_repeat_values(sweep.records, side.setting)):
        return f"{n_seeds} report seed{'s' if n_seeds > 1 else ''}"
    return "-" if side.trial is None else f"trial {side.trial.index} alone"


def _list_score_rows(
    sweep: SweepRecords, sides: Sequence[_Side], target: Mapping[str, float]
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the score: its means, the difference of two settings with its interval, and who is better."""
    scores = [collect_repeat_values(sweep.records, side.setting) for side in sides]
    cells = [
        _format_mean_std(own) if own else _format_metric(sweep, side, "score") or "-"
        for side, own in zip(sides, scores, strict=True)
    ]
    yield SCORE_LABEL, *cells, *([f"{extraction_strengths(target).forget:.3f}"] if target else [])
    gap = compare_shared_seeds(*scores) if len(scores) > 1 else None
    if gap is None:
        return
    if gap.pairs == 1:
        yield "difference to the best", "", _format_gap(gap)
        return
    yield "difference to the best,\n95 % interval", "", _format_gap(gap)
    yield "result", *_name_results(sweep, gap)


def _name_results(sweep: SweepRecords, gap: PairedDifference) -> tuple[str, str]:
    """Name the results of the best setting and of the paper's in words."""
    known = judge_recovery(sweep)
    if gap.is_tied or (known is not None and known.verdict == "equivalent"):
        return (TIED, TIED) if gap.is_tied else ("equivalent", "equivalent")
    return ("best", "worse") if gap.mean > 0 else ("worse", "better")


def _build_comparison_table(group: Sequence[ObjectiveResult]) -> Table:
    """Build a table with a row for each sweep on one model and one dataset, the lowest score first."""
    table = _make_table(
        f"{group[0].model}, {group[0].data}: mean ± std on {group[0].measured_on} seeds",
        "score: forget ES at equal retention. Each interval is of one difference alone;\n"
        "p is corrected for all of them (Holm).",
    )
    table.add_column("", overflow="fold")
    for header in (
        "score,\nlower is\nbetter",
        "forget ES\nbefore\nmixing",
        "retain ES\nbefore\nmixing",
        "difference to\nthe best,\n95 % interval",
        "result",
    ):
        table.add_column(header, no_wrap=True)
    for one in sorted(group, key=lambda one: mean(one.scores) if one.scores else inf):
        table.add_row(
            _format_name(one),
            _format_mean_std(one.scores, "\n"),
            *(f"{mean(by_seed):.3f}" if by_seed else "-" for by_seed in (one.forget_es, one.retain_es)),
            "" if one.difference is None else f"{_format_gap(one.difference)}\np={one.p:.3f}",
            RESULT_WORDS.get(one.verdict, ""),
            end_section=True,
        )
    return table


def _describe_winner(group: Sequence[ObjectiveResult]) -> str:
    """Return a sentence that names the best, or the tied objectives, on one model and one dataset."""
    where = f"{group[0].model}, {group[0].data}"
    if winner := next((one for one in group if one.verdict == WINS), None):
        return f"{where}: {winner.objective} is best, ahead of all others, with a score of {mean(winner.scores):.3f}."
    tied = ", ".join(one.objective for one in group if one.verdict == TIED)
    return f"{where}: none is best alone; tied: {tied}." if tied else f"{where}: {explain_no_verdict(group)}."


def _to_plain_text(text: str) -> Text:
    """Return text that a user may have written, without markup and control characters."""
    return Text(escape_unprintable(text))


def _format_name(one: ObjectiveResult) -> Text:
    """Return an objective, and its setting with one hyper-parameter a line."""
    values = [f"{name}={format_value(value)}" for name, value in (one.setting or {}).items()]
    return _to_plain_text("\n".join([one.objective, *values]))


def _format_mean_std(by_seed: Mapping[int, float], between: str = " ") -> str:
    """Return `mean ± std` over seeds, with `between` before the sign; the mean alone of one seed, `-` without any."""
    if len(by_seed) > 1:
        return f"{mean(by_seed):.3f}{between}± {std(by_seed):.3f}"
    return f"{mean(by_seed):.3f}" if by_seed else "-"


def _format_gap(gap: PairedDifference) -> str:
    """Return a difference in two lines, its 95 % interval the second, which one pair has not."""
    return f"{gap.mean:+.3f}" + (f"\n[{gap.low:+.3f}, {gap.high:+.3f}]" if isfinite(gap.low) else "")


def _format_metric(sweep: SweepRecords, side: _Side, key: str) -> str:
    """Return a setting's mean metric on report seeds, before these have run its search trial's; empty without one."""
    if collect_repeat_values(sweep.records, side.setting):
        values = [*collect_repeat_values(sweep.records, side.setting, key).values()]
    else:
        values = [side.trial.metrics[key]] if side.trial is not None and key in side.trial.metrics else []
    return f"{fmean(values):.3f}" if values else ""


def _format_number(value: float | None) -> str:
    """Return a number with three decimals; empty for None."""
    return "" if value is None else f"{value:.3f}"
