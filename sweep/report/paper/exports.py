"""Format the texts that lie beside the page: the main numbers as a table for a paper, and the finalists' answers."""

from collections.abc import Sequence

from sweep.report.data import ReportData
from sweep.report.finalists.answers import ANSWERS_FILE, format_answers
from sweep.report.paper.markup import format_latex, format_markdown
from sweep.report.paper.tables import PaperTable, build_comparison_tables, build_result_table

COMPARISON_STEM, RESULT_STEM = "comparison", "result"
"""Names of the tables' files without their endings: of a comparison, and of a single sweep."""


def format_exports(sweeps: Sequence[ReportData]) -> dict[str, str]:
    """Format the files of one sweep, or of several that are compared, by name; those without content are left out."""
    if len(sweeps) > 1:
        return _format_tables(COMPARISON_STEM, build_comparison_tables(sweeps))
    table, answers = build_result_table(sweeps[0]), format_answers(sweeps[0])
    return _format_tables(RESULT_STEM, [table] if table.rows else []) | ({ANSWERS_FILE: answers} if answers else {})


def _format_tables(stem: str, tables: Sequence[PaperTable]) -> dict[str, str]:
    formats = {"tex": format_latex, "md": format_markdown}
    return {f"{stem}.{kind}": "\n".join(map(write, tables)) for kind, write in formats.items() if tables}
