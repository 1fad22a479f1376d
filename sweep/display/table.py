"""The table of trials on a terminal: every row is one line, whatever the width."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from sweep.records import Setting, TrialRecord, escape_unprintable, format_value

MAX_DIGITS, MIN_DIGITS = 4, 2
"""Significant digits of a setting's values, where there is room and where there is not."""
ELLIPSIS = "…"
GAP = "  "
MEASURED = ("forget ES", "retain ES")
"""Columns of what the unlearned weights have: they stand below `before mixing`, and give way first."""
BEFORE_MIXING, LOWER_IS_BETTER = "before mixing", "lower is better"
"""Words above the columns of the unlearned weights, and above the score."""
ORDER = ("sweep", "trial", "setting", "epoch", *MEASURED, "score", "state")
"""Columns from left to right."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial in the table.

    Attributes:
        cells: text by column, without setting and state; all rows have the same columns.
        setting: the searched part of its setting.
        states: its state, from the longest text to the shortest.
        is_best: True for a best trial.
    """

    cells: dict[str, str]
    setting: Setting
    states: Sequence[str]
    is_best: bool


def build_row(sweep: str, record: TrialRecord, searched: Setting, epochs: int, is_best: bool) -> TrialRow:
    """Build the row of a trial; `sweep` is empty where there is one sweep only."""
    point = record.metrics or (record.curve[-1] if record.curve else {})
    done = int(record.curve[-1]["epoch"]) if record.curve else 0
    cells = {
        **({"sweep": sweep} if sweep else {}),
        "trial": f"{'' if record.phase == 'search' else f'{record.phase} '}{record.index}",
        "epoch": f"{done}/{epochs}",
        "forget ES": format_value(point.get("forget/es", "")),
        "retain ES": format_value(point.get("retain/es", "")),
        "score": format_value(point.get("score", "")),
    }
    return TrialRow(cells=cells, setting=searched, states=_describe_state(record), is_best=is_best)


def _describe_state(record: TrialRecord) -> list[str]:
    """Describe the state at length, and in fewer and fewer words."""
    if record.state != "running":
        return [": ".join(filter(None, [record.state, escape_unprintable(record.reason)])), record.state]
    if record.progress is None:
        return [record.state]
    steps = f"{record.progress.done}/{record.progress.total} steps"
    left = str(record.progress).rpartition(", ")[2]
    return [f"running: {record.progress}", f"running: {steps}, {left}", f"running: {steps}", "running"]


def shorten_text(text: str, width: int) -> str:
    """Return the text, or as many of its words as fit the width with an ellipsis."""
    if cell_len(text) <= width:
        return text
    kept, *words = text[: width + 1].split(" ")
    for word in words:
        if cell_len(f"{kept} {word} {ELLIPSIS}") > width:
            break
        kept = f"{kept} {word}"
    return f"{kept} {ELLIPSIS}" if cell_len(f"{kept} {ELLIPSIS}") <= width else ELLIPSIS[:width]


def fit_setting(setting: Setting, width: int) -> str:
    """Format a setting within the width: first with fewer digits, then without its last hyper-parameters."""
    texts = [_format_setting(setting, digits) for digits in range(MAX_DIGITS, MIN_DIGITS - 1, -1)]
    return next((text for text in texts if cell_len(text) <= width), None) or shorten_text(texts[-1], width)


def _format_setting(setting: Setting, digits: int) -> str:
    values = {name: f"{value:.{digits}g}" if isinstance(value, float) else value for name, value in setting.items()}
    return escape_unprintable(" ".join(f"{name}={value}" for name, value in values.items()))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Widths of the table's columns, in cells.

    Attributes:
        columns: width by column, without setting and state.
        setting: width of the setting, which stands behind the trial.
        state: width of the state, which stands last.
    """

    columns: dict[str, int]
    setting: int
    state: int

    def format_line(self, mark: str, cells: dict[str, str]) -> str:
        """Format a line of the table, whose cells are by column."""
        widths = self.columns | {"setting": self.setting, "state": self.state}
        names = [name for name in ORDER if name in widths]
        parts = [align_cell(name, cells.get(name, ""), widths[name]) for name in names]
        return f"{mark:<2}{GAP.join(parts)}".rstrip()


def align_cell(column: str, text: str, width: int) -> str:
    """Fill a cell: numbers stand to the right, words to the left."""
    missing = " " * (width - cell_len(text))
    return missing + text if column in ("epoch", *MEASURED, "score") else text + missing


def lay_out(rows: Sequence[TrialRow], width: int) -> Layout:
    """Choose the widths: states lose words first, then settings digits, then the table its least important columns."""
    columns = {
        name: max(cell_len(text) for text in (name, *(row.cells[name] for row in rows))) for name in rows[0].cells
    }
    setting = [
        max(cell_len(_format_setting(row.setting, digits)) for row in rows) for digits in (MAX_DIGITS, MIN_DIGITS)
    ]
    state = max(len("state"), *(cell_len(row.states[-1]) for row in rows))
    for dropped in ((), MEASURED, ("epoch",)):
        columns = {name: one for name, one in columns.items() if name not in dropped}
        room = width - len("* ") - sum(one + len(GAP) for one in columns.values()) - len(GAP)
        if room >= setting[-1] + state:
            break
    own = max(len("setting"), min(setting[0], room - state))
    return Layout(columns=columns, setting=own, state=max(0, room - own))


def render_rows(rows: Sequence[TrialRow], width: int) -> list[Text]:
    """Return two lines of headings and a line for each row, of which there is one at least; none is wider."""
    layout = lay_out(rows, width)
    heading = layout.format_line("", {name: name for name in ORDER})
    lines = [_render_group(layout, heading), Text(heading, style="bold")]
    for row in rows:
        state = next((text for text in row.states if cell_len(text) <= layout.state), row.states[0])
        cells = row.cells | {
            "setting": fit_setting(row.setting, layout.setting),
            "state": shorten_text(state, layout.state),
        }
        lines.append(Text(layout.format_line("*" if row.is_best else "", cells), style="green" if row.is_best else ""))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _render_group(layout: Layout, heading: str) -> Text:
    """Return the line above the headings, which says how to read the columns below."""
    first = heading.index(MEASURED[0]) if MEASURED[0] in layout.columns else None
    line = "" if first is None else " " * first + f"{BEFORE_MIXING:^{len(GAP.join(MEASURED))}}"
    end = heading.index("score") + len("score")
    return Text(f"{line:{end - layout.columns['score']}}{LOWER_IS_BETTER}", style="dim")
