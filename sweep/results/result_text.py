"""Describe the result of a sweep in Markdown: the verdict, the best setting beside the paper's, and how to go on."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.config.stored import CONFIG_FILE, sweep_arguments
from sweep.records import INTERRUPTED_REASON, Setting, format_value
from sweep.redaction import escape_markdown
from sweep.results.sentences import describe_result
from sweep.results.statistics import collect_repeat_values, mean, std
from sweep.results.sweep_records import SweepRecords
from sweep.search.paper import list_qualifiers

METRICS: Mapping[str, str] = {
    "score": "**forget ES at equal retention (the score)**, lower is better",
    "forget/es": "forget ES before mixing, lower is better",
    "retain/es": "retain ES before mixing",
}
"""Row labels of the table by metric key."""


def describe_sweep(sweep: SweepRecords, folder: Path) -> str:
    """Describe a sweep that has ended, or was interrupted: Markdown, in which texts of users are no markup.

    Args:
        sweep: the sweep with its trials.
        folder: the sweep's folder.
    """
    said = f"**{escape_markdown(describe_result(sweep))}**"
    table = [_format_settings(sweep, sweep.best.setting)] if sweep.best else []
    return "\n\n".join([said, *table, *_list_commands(sweep, folder)])


def _format_settings(sweep: SweepRecords, best: Setting) -> str:
    """Format a table with a row for each hyper-parameter and metric, and a column for each setting."""
    sides: dict[str, Setting] = {"best": best}
    if sweep.paper is not None:
        told = ", ".join(list_qualifiers(sweep.config))
        label = f"paper, {sweep.config.data.paper_split}{f' ({told})' if told else ''}"
        sides[escape_markdown(label)] = sweep.paper
    rows = [[name, *(escape_markdown(format_value(side.get(name, "-"))) for side in sides.values())] for name in best]
    counts = [len(collect_repeat_values(sweep.records, side)) for side in sides.values()]
    if any(counts):
        rows += [["measured on", *(f"{count} report seeds" for count in counts)]]
        rows += [[METRICS[key], *(_format_spread(sweep, side, key) for side in sides.values())] for key in METRICS]
    return _format_table(["", *sides], rows)


def _format_spread(sweep: SweepRecords, setting: Setting, key: str) -> str:
    """Format a setting's metric on the report seeds: `mean ± std`."""
    by_seed = collect_repeat_values(sweep.records, setting, key)
    spread = f" ± {std(by_seed):.3f}" if len(by_seed) > 1 else ""
    return f"{mean(by_seed):.3f}{spread}" if by_seed else "-"


def _list_commands(sweep: SweepRecords, folder: Path) -> list[str]:
    """List where the report is, and the commands that run the sweep or its best setting again."""
    report = f"Report: `report.html` among this run's artifacts, and `{folder / 'report.html'}`."
    if any(record.reason == INTERRUPTED_REASON for record in sweep.records):
        resume = f"python -m sweep.launch --resume {sweep_arguments(sweep.config.storage, sweep.name)}"
        return [f"The sweep was interrupted. Go on with `{resume}`.", report]
    best, config = (shlex.quote(str(folder / file)) for file in ("best.yaml", CONFIG_FILE))
    return [
        f"Run the best setting again: `python -m sweep.launch {best}`",
        f"Run the whole sweep again: `python -m sweep.launch {config}`",
        report,
    ]


def _format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[*head], ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
