"""Format the CSV files of a sweep and of a comparison as text; floats are written as Python's repr."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sweep.records import PHASES, Phase, TrialRecord, escape_unprintable
from sweep.results.comparison import ObjectiveResult
from sweep.results.statistics import label_setting, mean, std
from sweep.results.sweep_records import SweepRecords

TIMES_COLUMNS = ("phase", "index", "seconds", "started", "ended", "worker")
"""Columns of times.csv."""
COMPARISON_KEY_COLUMNS = ("sweep", "objective", "model", "data")
"""The first columns of comparison.csv; the hyper-parameters follow them."""
COMPARISON_RESULT_COLUMNS = (
    *("seeds", "score", "score/std", "forget/es", "forget/es/std", "retain/es", "retain/es/std"),
    *("above_best", "low", "high", "p", "verdict", "recovery", "measured_on"),
)
"""The last columns of comparison.csv."""
FORMULA_PREFIXES = ("=", "+", "-", "@")
"""First characters of a cell that a spreadsheet would take for a formula."""


def format_trials_csv(records: Iterable[TrialRecord]) -> str:
    """Format trials.csv: a line for each ended search trial with its setting and final metrics, no times."""
    over = [record for record in _select_ended_records(records) if record.phase == "search"]
    return _format_csv([_list_columns(over), *_build_rows(over)])


def format_repeats_csv(sweep: SweepRecords, phase: Phase) -> str:
    """Format race.csv or finalists.csv: a line for each run that counts: its setting's label, then as trials.csv."""
    over = sweep.list_counted(phase)
    labels = [label_setting(sweep, record.setting) for record in over]
    rows = zip([phase, *labels], [_list_columns(over), *_build_rows(over)], strict=True)
    return _format_csv([label, *row] for label, row in rows)


def format_times_csv(records: Iterable[TrialRecord]) -> str:
    """Format times.csv: a line for each ended trial with its start and end (UTC), its seconds, and its worker."""
    rows = [
        (
            r.phase,
            str(r.index),
            repr(round(r.ended - r.started, 3)),
            _format_utc(r.started),
            _format_utc(r.ended),
            r.worker,
        )
        for r in _select_ended_records(records)
    ]
    return _format_csv([TIMES_COLUMNS, *rows])


def format_comparison_csv(rows: Sequence[ObjectiveResult]) -> str:
    """Format comparison.csv: a line for each sweep with its setting, metrics over seeds, and gap to the best."""
    params = sorted({key for one in rows for key in one.setting or {}})
    return _format_csv(
        [
            [*COMPARISON_KEY_COLUMNS, *params, *COMPARISON_RESULT_COLUMNS],
            *(_build_comparison_row(one, params) for one in rows),
        ]
    )


def _select_ended_records(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that have ended, in the order of the phases, by index."""
    return sorted((r for r in records if r.state != "running"), key=lambda r: (PHASES.index(r.phase), r.index))


def _build_comparison_row(one: ObjectiveResult, params: Sequence[str]) -> list[str]:
    """Build a line of comparison.csv."""
    gap, metrics = one.difference, (one.scores, one.forget_es, one.retain_es)
    cells = [
        *(one.name, one.objective, one.model, one.data),
        *((one.setting or {}).get(key, "") for key in params),
        len(one.scores),
        *(value for by_seed in metrics for value in (mean(by_seed), std(by_seed))),
        *(("", "", "") if gap is None else (gap.mean, gap.low, gap.high)),
        "" if one.p is None else one.p,
        one.verdict,
        one.recovery.verdict if one.recovery else "",
        one.measured_on,
    ]
    return [_format_cell(cell) for cell in cells]


def _list_columns(records: Sequence[TrialRecord]) -> list[str]:
    """Return the column names of trials.csv."""
    return ["index", *_list_params(records), "seed", "state", *_list_metrics(records), "reason"]


def _build_rows(records: Sequence[TrialRecord]) -> list[list[str]]:
    """Build a line for each record; a value that it does not have is an empty cell."""
    return [
        [
            str(record.index),
            *(_format_cell(record.setting.get(key, "")) for key in _list_params(records)),
            str(record.seed),
            record.state,
            *(_format_cell(record.metrics.get(key, "")) for key in _list_metrics(records)),
            _format_cell(record.reason),
        ]
        for record in records
    ]


def _list_params(records: Iterable[TrialRecord]) -> list[str]:
    """Return the hyper-parameters of all records, sorted."""
    return sorted({key for record in records for key in record.setting})


def _list_metrics(records: Iterable[TrialRecord]) -> list[str]:
    """Return the keys of the metrics of all records, sorted."""
    return sorted({key for record in records for key in record.metrics})


def _format_cell(value: object) -> str:
    """Return a number as its repr; put an apostrophe before text that a spreadsheet would take for a formula."""
    if not isinstance(value, str):
        return repr(value)
    return f"'{escape_unprintable(value)}" if value.startswith(FORMULA_PREFIXES) else escape_unprintable(value)


def _format_csv(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells as CSV text with line feeds."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _format_utc(seconds: float) -> str:
    """Return Unix seconds as an ISO 8601 time in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
