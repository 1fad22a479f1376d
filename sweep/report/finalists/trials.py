"""Find the trials of a sweep in which the full suite was measured: of each finalist, that on the first report seed."""

from collections.abc import Mapping

from sweep.records import TrialRecord
from sweep.results.statistics import summarize_finalists
from sweep.results.sweep_records import SweepRecords


def find_first_reports(sweep: SweepRecords) -> Mapping[str, TrialRecord]:
    """Find each finalist's finished trial on the first report seed, by a short label; the best comes first."""
    first = [r for r in sweep.records if (r.phase, r.state, r.seed) == ("finalist", "finished", sweep.config.seed + 1)]
    settings = {shorten_label(one.label): one.setting for one in summarize_finalists(sweep)}
    found = {label: [record for record in first if record.setting == own] for label, own in settings.items()}
    return {label: found[label][0] for label in sorted(found, key=_is_not_best) if found[label]}


def shorten_label(label: str) -> str:
    """Return the label of the paper's setting without its rank in the search."""
    return "paper" if label.startswith("rank") and label.endswith(" = paper") else label


def _is_not_best(label: str) -> bool:
    return not label.startswith("best")
