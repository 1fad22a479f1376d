"""The CSV files of a sweep and of several, as text, floats as Python writes them."""

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
"""First columns of comparison.csv; the hyper-parameters follow."""
MEASURED = (
    *("seeds", "score", "score/std", "forget/es", "forget/es/std", "retain/es", "retain/es/std"),
    *("above_best", "low", "high", "p", "verdict", "recovery"),
)
"""Its last columns."""
FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet computes."""


def trials_csv(records: Iterable[Record]) -> str:
    """One line for each search trial that is over: its setting and final metrics, no times."""
    over = [record for record in _over(records) if record.phase == "search"]
    return _lines([_columns(over), *_values(over)])


def finalists_csv(config: SweepConfig, records: Sequence[Record]) -> str:
    """One line for each repeat that is over, as in trials.csv, after the label of its setting."""
    over = [record for record in _over(records) if record.phase == "finalist"]
    repeated = finalists(config, records)
    labels = [next(one.label for one in repeated if one.setting == record.setting) for record in over]
    rows = zip(["finalist", *labels], [_columns(over), *_values(over)], strict=True)
    return _lines([label, *row] for label, row in rows)


def times_csv(records: Iterable[Record]) -> str:
    """One line for each trial that is over: when (UTC) and where it ran, and for how many seconds."""
    rows = [
        (r.phase, str(r.index), repr(round(r.ended - r.started, 3)), _utc(r.started), _utc(r.ended), r.worker)
        for r in _over(records)
    ]
    return _lines([TIMES, *rows])


def comparison_csv(rows: Sequence[Standing]) -> str:
    """One line for each sweep: what it is judged by, metrics over fresh seeds, and how far it is above the best."""
    params = sorted({key for one in rows for key in one.setting or {}})
    return _lines([[*WHAT, *params, *MEASURED], *(_stood(one, params) for one in rows)])


def _over(records: Iterable[Record]) -> list[Record]:
    """The trials that are over, search first, by index."""
    return sorted((r for r in records if r.state != "running"), key=lambda r: (r.phase != "search", r.index))


def _stood(one: Standing, params: Sequence[str]) -> list[str]:
    """A line of comparison.csv."""
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
    return ["index", *_params(records), "seed", "state", *_metrics(records), "reason"]


def _values(records: Sequence[Record]) -> list[list[str]]:
    """A line for each record, with an empty cell for what it has not."""
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
    return sorted({key for record in records for key in record.setting})


def _metrics(records: Iterable[Record]) -> list[str]:
    return sorted({key for record in records for key in record.metrics})


def _cell(value: object) -> str:
    """A number as Python writes it; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return repr(value)
    return f"'{printable(value)}" if value.startswith(FORMULA) else printable(value)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
