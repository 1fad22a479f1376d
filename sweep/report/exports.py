"""Format the texts that lie beside the page: the answers of the finalists."""

from collections.abc import Sequence

from sweep.report.data import ReportData
from sweep.report.finalists.answers import ANSWERS_FILE, format_answers


def format_exports(sweeps: Sequence[ReportData]) -> dict[str, str]:
    """Format the files of one sweep, or of several that are compared, by name; those without content are left out."""
    texts = {ANSWERS_FILE: format_answers(sweeps[0])} if len(sweeps) == 1 else {}
    return {name: text for name, text in texts.items() if text}
