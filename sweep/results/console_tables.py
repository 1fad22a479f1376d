"""Render the tables that are printed at the end: the settings of a sweep, several sweeps, and the verdicts."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep.config.schema import SweepConfig
from sweep.records import Record, Setting, printable, short
from sweep.results.comparison import WINS, Standing, standings
from sweep.results.recovery import recovery
from sweep.results.statistics import TIED, Difference, Finalist, Sweep, best, finalists, mean, std, trial_of
from sweep.search.paper import paper_setting, qualifiers

SHOWN = {
    "forget ES": "forget/es",
    "forget ES, paraphrased": "forget/es_paraphrase",
    "retain ES": "retain/es",
    "retain ES, paraphrased": "retain/es_paraphrase",
    "score": "score",
    "mix": "mix",
}
"""Metric keys by row label of the printed table."""


def render(config: SweepConfig, records: Sequence[Record]) -> RenderableType:
    """Render a sweep: its best setting beside the paper's, the repeats on fresh seeds, and the recovery verdict."""
    winner, repeated, verdict = best(records), finalists(config, records), recovery(config, records)
    if winner is None:
        return Text("No trial finished.")
    parts: list[RenderableType] = [_best_table(config, records, winner)]
    if winner.reason:
        parts += [Text(f"Nothing was found: even the best trial has the worst score ({winner.reason}).")]
    parts += [_finalist_table(repeated)] if repeated else []
    parts += [_text(verdict.sentence)] if verdict else []
    return Group(*parts)


def render_comparison(sweeps: Sequence[Sweep]) -> RenderableType:
    """Render several sweeps: a table and the winner for each model and dataset, then the recovery verdicts."""
    groups = standings(sweeps)
    verdicts = [_text(one.recovery.sentence) for group in groups for one in group if one.recovery]
    return Group(*(part for group in groups for part in (_standing_table(group), _text(_outcome(group)))), *verdicts)


def _best_table(config: SweepConfig, records: Sequence[Record], winner: Record) -> Table:
    """Build a table with a row for each hyper-parameter and metric, and a column for each setting."""
    sides: dict[str, tuple[Setting, Record | None]] = {"best": (winner.setting, winner)}
    paper, qualified = paper_setting(config), ", ".join(qualifiers(config))
    if paper is not None:
        label = f"paper, {config.data.paper_split}" + (f"\n({qualified})" if qualified else "")
        sides[label] = (paper, trial_of(paper, records))
    table = Table(title=_text(f"{config.objective} on {config.model.name}, {config.data.name}"), title_justify="left")
    table.add_column("")
    for label in sides:
        table.add_column(_text(label), justify="right")
    for name in winner.setting:
        table.add_row(name, *(_text(short(setting.get(name, "-"))) for setting, _ in sides.values()))
    table.add_section()
    for name, key in SHOWN.items():
        table.add_row(name, *(_shown(record, key) for _, record in sides.values()))
    return table


def _finalist_table(repeated: Iterable[Finalist]) -> Table:
    """Build a table with a row for each setting that was repeated on fresh seeds."""
    table = Table(title="score on fresh seeds", title_justify="left")
    for header in ("", "setting", "mean ± std (seeds)", "above the best, 95 %", "wins"):
        table.add_column(header)
    for one in repeated:
        spread = f"{_spread(one.scores)} ({len(one.scores)})"
        table.add_row(one.label, _setting(one.setting), spread, _above(one.difference), one.verdict)
    return table


def _standing_table(group: Sequence[Standing]) -> Table:
    """Build a table with a row for each sweep on one model and one dataset; it fits into 80 columns."""
    table = Table(
        title=_text(f"{group[0].model}, {group[0].data}: mean ± std on fresh seeds"),
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
            _text(f"{one.objective}\n").append(_setting(one.setting or {})),
            *(_spread(by_seed, "\n") for by_seed in (one.scores, one.forget_es, one.retain_es)),
            _behind(one),
            one.recovery.verdict.replace(" ", "\n") if one.recovery else "",
        )
    return table


def _behind(one: Standing) -> Text:
    """Return the difference from the best with interval, verdict and corrected p; the verdict alone without one."""
    gap = one.difference
    if gap is None:
        return Text(one.verdict)
    return Text(f"{gap.mean:+.3f}\n[{gap.low:.3f}, {gap.high:.3f}]\n{one.verdict}, p={one.p:.3f}")


def _outcome(group: Sequence[Standing]) -> str:
    """Return a sentence that names the winner, or the tied objectives, on one model and one dataset."""
    where = f"{group[0].model}, {group[0].data}"
    if winner := next((one.objective for one in group if one.verdict == WINS), None):
        return f"{where}: {winner} wins."
    tied = ", ".join(one.objective for one in group if one.verdict == TIED)
    return f"{where}: nobody wins; tied: {tied}." if tied else f"{where}: nothing to compare yet."


def _text(text: str) -> Text:
    """Return text that a user may have written, without markup and control characters."""
    return Text(printable(text))


def _setting(setting: Setting) -> Text:
    """Return a setting with one hyper-parameter a line."""
    return _text("\n".join(f"{name}={short(value)}" for name, value in setting.items()))


def _spread(by_seed: Mapping[int, float], between: str = " ") -> str:
    """Return `mean ± std` over seeds, with `between` before the sign; `-` without a seed."""
    return f"{mean(by_seed):.3f}{between}± {std(by_seed):.3f}" if by_seed else "-"


def _above(gap: Difference | None) -> Text:
    """Return a difference with its 95 % interval; empty for None."""
    return Text("" if gap is None else f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]")


def _shown(record: Record | None, key: str) -> str:
    """Return a metric of a trial with three decimals; `-` where it is missing."""
    value = None if record is None else record.metrics.get(key)
    return "-" if value is None else f"{value:.3f}"
