"""Format the tables of a paper in LaTeX (booktabs) and in Markdown.

Only a score is ever bold: that of the best setting or objective, unless it is tied.
"""

import re
from collections.abc import Sequence

from sweep.records import escape_unprintable
from sweep.report.paper.tables import COLUMNS, PaperRow, PaperTable

LATEX_ESCAPES = {letter: f"\\{letter}" for letter in "{}$&#_%"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # at the beginning of a row, each of the three would belong to the line break before it
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
}
MARKDOWN_MARKUP = re.compile(r"([\\`*_\[\]<>|~&#$])")


def format_latex(table: PaperTable) -> str:
    """Format a table in LaTeX; it needs the package booktabs."""
    heads = [_stack_lines([table.first]), *map(_stack_lines, COLUMNS)]
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\caption{{{_escape_latex(table.caption)}}}",
        f"\\label{{tab:{table.key}}}",
        f"\\begin{{tabular}}{{ll{'c' * (len(COLUMNS) - 2)}l}}",
        "\\toprule",
        f"{' & '.join(heads)} \\\\",
        "\\midrule",
        *(f"{' & '.join(_list_latex_cells(row))} \\\\" for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _stack_lines(lines: Sequence[str]) -> str:
    """Set the lines of a heading above one another."""
    stacked = r" \\ ".join(map(_escape_latex, lines))
    return stacked if len(lines) == 1 else f"\\shortstack{{{stacked}}}"


def _list_latex_cells(row: PaperRow) -> list[str]:
    numbers = [text.replace(" ± ", r" \pm ") for text in row.numbers]
    score, *others = [f"${text}$" if any(map(str.isdigit, text)) else text for text in numbers]
    bold = f"$\\mathbf{{{numbers[0]}}}$" if row.result == "best" else score
    return [_escape_latex(row.name), _escape_latex(row.setting), bold, *others, row.result]


def _escape_latex(text: str) -> str:
    return "".join(LATEX_ESCAPES.get(letter, letter) for letter in escape_unprintable(text).replace("\n", " "))


def format_markdown(table: PaperTable) -> str:
    """Format a table in Markdown (GitHub's), below its caption."""
    heads = [table.first, *(" ".join(lines) for lines in COLUMNS)]
    rows = [heads, ["---"] * len(heads), *(_list_markdown_cells(row) for row in table.rows)]
    return "".join([f"{_escape_markdown(table.caption)}\n\n", *(f"| {' | '.join(row)} |\n" for row in rows)])


def _list_markdown_cells(row: PaperRow) -> list[str]:
    score, *others = row.numbers
    bold = f"**{score}**" if row.result == "best" else score
    return [_escape_markdown(row.name), _escape_markdown(row.setting), bold, *others, row.result]


def _escape_markdown(text: str) -> str:
    return MARKDOWN_MARKUP.sub(r"\\\1", escape_unprintable(text).replace("\n", " "))
