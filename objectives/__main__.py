"""Table of the objectives: fields and their bounds, unit, needs, formula. Run: python -m objectives."""

import inspect
import re
import textwrap
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import objectives
from objectives._base import Objective

COLUMN_WIDTHS = {"name": 8, "fields": 24, "unit": 5, "needs": 20, "formula": 54}
"""Columns, and their widths in characters."""
LEGEND = (
    "p, p_o: probability of a label token under the model, the reference. CE = −log p. ⟨·⟩: mean over the tokens of the"
    " batch. NLL, NLL_o: sum of CE over a row's answer."
    " unit: what the loss is averaged over. needs: what the loop computes."
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; refuse any argument with exit code 2."""
    ArgumentParser(prog="python -m objectives", usage=SUPPRESS, description="Print all objectives.").parse_args(argv)
    for line in [*format_table(), "", *textwrap.wrap(LEGEND, 119)]:
        print(line)


def format_table() -> Iterator[str]:
    """Yield the lines of the table, all read from the classes."""
    yield from _format_row(list(COLUMN_WIDTHS))
    for name in objectives.names():
        yield ""
        yield from _format_row([name, *_format_cells(objectives.load(name))])


def read_field_docs(objective: type[Objective]) -> dict[str, str]:
    """Read the text on each field from the class's docstring, by name: the bounds, a comma, the meaning."""
    _, _, attributes = (inspect.getdoc(objective) or "").partition("Attributes:\n")
    entries = re.split(r"^    (?=\w+: )", attributes, flags=re.MULTILINE)
    return dict(" ".join(entry.split()).split(": ", 1) for entry in entries if entry.strip())


def _format_cells(objective: type[Objective]) -> Sequence[str]:
    fields = [f"{name}: {doc.partition(',')[0]}" for name, doc in read_field_docs(objective).items()]
    formula = (inspect.getdoc(objective) or "").partition("\n")[0]
    return ["\n".join(fields) or "none", objective.unit, ", ".join(sorted(objective.needs)), formula]


def _format_row(cells: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a row, with each cell wrapped to its column's width."""
    wrapped = [_wrap_text(cell, width) for cell, width in zip(cells, COLUMN_WIDTHS.values(), strict=True)]
    for parts in zip_longest(*wrapped, fillvalue=""):
        yield "  ".join(part.ljust(width) for part, width in zip(parts, COLUMN_WIDTHS.values(), strict=True)).rstrip()


def _wrap_text(text: str, width: int) -> list[str]:
    return [line for part in text.split("\n") for line in textwrap.wrap(part, width)]


if __name__ == "__main__":
    main()
