"""Format the CSV files of a sweep and of a comparison as text; floats are written as Python's repr."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sweep.config.schema import SweepConfig
from sweep.records import Record, printable
from sweep.results.comparison import Standing
from sweep.results.statistics import finalists, mean, std

TIMES = ("phase", "index", "seconds", "started", "ended", "worker")
"""Columns of times.csv."""
WHAT = ("sweep", "objective", "model", "data")
"""The first columns of comparison.csv; the hyper-parameters follow them."""
MEASURED = (
    *("seeds", "score", "score/std", "forget/es", "forget/es/std", "retain/es", "retain/es/std"),
    *("above_best", "low", "high", "p", "verdict", "recovery"),
)
"""The last columns of comparison.csv."""
FORMULA = ("=", "+", "-", "@")
"""First characters of a cell that a spreadsheet would take for a formula."""


def trials_csv(records: Iterable[Record]) -> str:
    """Format trials.csv: a line for each ended search trial with its setting and final metrics, no times."""
    over = [record for record in _over(records) if record.phase == "search"]
    return _lines([_columns(over), *_values(over)])


def finalists_csv(config: SweepConfig, records: Sequence[Record]) -> str:
    """Format finalists.csv: a line for each ended repeat: its setting's label, then the columns of trials.csv."""
    over = [record for record in _over(records) if record.phase == "finalist"]
    repeated = finalists(config, records)
    labels = [next(one.label for one in repeated if one.setting == record.setting) for record in over]
    rows = zip(["finalist", *labels], [_columns(over), *_values(over)], strict=True)
    return _lines([label, *row] for label, row in rows)


def times_csv(records: Iterable[Record]) -> str:
    """Format times.csv: a line for each ended trial with its start and end (UTC), its seconds, and its worker."""
    rows = [
        (r.phase, str(r.index), repr(round(r.ended - r.started, 3)), _utc(r.started), _utc(r.ended), r.worker)
        for r in _over(records)
    ]
    return _lines([TIMES, *rows])


def comparison_csv(rows: Sequence[Standing]) -> str:
    """Format comparison.csv: a line for each sweep with its setting, metrics over fresh seeds, and gap to the best."""
    params = sorted({key for one in rows for key in one.setting or {}})
    return _lines([[*WHAT, *params, *MEASURED], *(_stood(one, params) for one in rows)])


def _over(records: Iterable[Record]) -> list[Record]:
    """Return the trials that have ended, search first, by index."""
    return sorted((r for r in records if r.state != "running"), key=lambda r: (r.phase != "search", r.index))


def _stood(one: Standing, params: Sequence[str]) -> list[str]:
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
    ]
    return [_cell(cell) for cell in cells]


def _columns(records: Sequence[Record]) -> list[str]:
    """Return the column names of trials.csv."""
    return ["index", *_params(records), "seed", "state", *_metrics(records), "reason"]


def _values(records: Sequence[Record]) -> list[list[str]]:
    """Build a line for each record; a value that it does not have is an empty cell."""
    return [
        [
            str(record.index),
            *(_cell(record.setting.get(key, "")) for key in _params(records)),
            str(record.seed),
            record.state,
            *(_cell(record.metrics.get(key, "")) for key in _metrics(records)),
            _cell(record.reason),
        ]
        for record in records
    ]


def _params(records: Iterable[Record]) -> list[str]:
    """Return the hyper-parameters of all records, sorted."""
    return sorted({key for record in records for key in record.setting})


def _metrics(records: Iterable[Record]) -> list[str]:
    """Return the keys of the metrics of all records, sorted."""
    return sorted({key for record in records for key in record.metrics})


def _cell(value: object) -> str:
    """Return a number as its repr; put an apostrophe before text that a spreadsheet would take for a formula."""
    if not isinstance(value, str):
        return repr(value)
    return f"'{printable(value)}" if value.startswith(FORMULA) else printable(value)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    """Return rows of cells as CSV text with line feeds."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _utc(seconds: float) -> str:
    """Return Unix seconds as an ISO 8601 time in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
