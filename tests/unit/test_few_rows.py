"""The warning that one holdout row decides the score: at which numbers of rows, and where it is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from support.plans import toy_plan
from support.reports import reported
from support.toys import config
from sweep.plan.launch_plan import LaunchPlan
from sweep.report.page import render_page
from sweep.report.sections import build_sweep_section
from sweep.results.notes import warn_of_few_rows


@pytest.mark.parametrize(("tau", "needed"), [(0.95, 20), (0.9, 10), (0.8, 5), (0.99, 100), (0.5, 2), (0.97, 34)])
def test_one_row_must_not_be_more_than_tau_may_lose(tau: float, needed: int) -> None:
    """1 of 20 rows is the 5 % that .95 may lose, and 1 of 19 is more; 1 / .03 = 33.3 rows."""
    assert warn_of_few_rows(tau, needed) == ""
    assert f"at least {needed} (data.max_holdout)" in warn_of_few_rows(tau, needed - 1)
    assert warn_of_few_rows(1.0, 1) == ""


def test_what_the_warning_says() -> None:
    """The row's share, the key with its value, and what to give."""
    assert warn_of_few_rows(0.95, 16).startswith(
        "one of 16 holdout rows is 6.25 % of retention, but score.tau = 0.95 may lose only 5 %, so that a single row"
        " decides the score: it takes at least 20 (data.max_holdout)"
    )


def test_where_it_is_said(tmp_path: Path) -> None:
    """Once for the sweeps of a command, before they begin, and in the report; of unknown rows nothing is said."""
    plans = [toy_plan(config(tmp_path), name) for name in ("a", "b")]
    said = warn_of_few_rows(0.95, 2)
    assert LaunchPlan(name="both", plans=plans).notes == [said]
    section = build_sweep_section(replace(reported(), n_holdout=2))
    assert section.notes == [said]
    page = render_page([section], []).replace("&#39;", "'")
    assert f"<strong>Note:</strong> {said}." in page
    assert build_sweep_section(reported()).notes == []
