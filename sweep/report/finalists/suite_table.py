"""Build the table of the full suite: the target, and each finalist at equal retention and before mixing."""

import re

from eval.definitions import SUITE
from sweep.report.figure import Cell, Table
from sweep.report.finalists.answers import STAGES
from sweep.report.finalists.trials import find_first_reports
from sweep.results.saved_models import COMPARED_PREFIX
from sweep.results.sweep_records import SweepRecords

KEY_PREFIXES = {"compared": COMPARED_PREFIX, "unlearned": ""}
"""Prefix of the keys of the metrics, by weights."""
DIRECTIONS = re.compile(r"; (?:(?P<way>lower|higher) is|(?P<near>[\d.]+) (?:is|where)) ")
"""The part of a definition that says which value is better."""


def build_suite_table(sweep: SweepRecords) -> Table:
    """Build the table: a row for each metric that the target or a finalist has; no rows before a finalist has ended."""
    reports = find_first_reports(sweep)
    target = next((record.target_metrics for record in reports.values() if record.target_metrics), {})
    sides = {"target": target} | {
        f"{label}, {stage}": {
            key: record.metrics[own] for key in SUITE if (own := KEY_PREFIXES[kind] + key) in record.metrics
        }
        for label, record in reports.items()
        for kind, stage in STAGES.items()
    }
    rows: list[list[Cell]] = [
        [key, _name_direction(definition), *(values.get(key) for values in sides.values())]
        for key, definition in SUITE.items()
        if any(key in values for values in sides.values())
    ]
    return Table(columns=("metric", "better", *sides), rows=rows)


def build_definition_table(suite: Table) -> Table:
    """Build the table of the definitions of the metrics in the table of the full suite."""
    return Table(columns=("metric", "definition"), rows=[(row[0], SUITE[str(row[0])]) for row in suite.rows])


def _name_direction(definition: str) -> str:
    """Return the better direction or value that a definition names; empty where it names none."""
    found = DIRECTIONS.search(definition)
    if found is None:
        return ""
    return found["way"] or f"near {found['near']}"
