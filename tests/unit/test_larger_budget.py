"""A finished sweep that goes on with another budget: on one worker it comes to what a sweep of that budget has.

test_samplers.py has that with every sampler.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.bowl import sweep, work
from support.trials import sweep_of
from sweep.config.schema import SweepConfig
from sweep.records import TrackingRun, TrialRecord
from sweep.results.csv_tables import format_repeats_csv, format_trials_csv
from sweep.results.write_results import SweepSeconds, build_summary

LOGGED = TrackingRun(tracking_uri="sqlite:///mlflow.db", experiment="toy", run_id="abc")
SECONDS = SweepSeconds(prepare=0, sweep=0, total=0)


def results(config: SweepConfig, records: Sequence[TrialRecord]) -> tuple[str, list[Any], str]:
    """The trials.csv of a sweep; its repeats without their numbers, in any order; its summary, but for its folder."""
    mine = sweep_of(config, records)
    texts = [format_repeats_csv(mine, "race"), format_repeats_csv(mine, "finalist")]
    repeats = [[(*row.items(),) for row in csv.DictReader(text.splitlines()) if row.pop("index")] for text in texts]
    summary = build_summary(mine, seconds=SECONDS, logged=LOGGED, target={}, models=())
    del summary["again"]
    return format_trials_csv(records), [sorted(rows) for rows in repeats], json.dumps(summary)


def budget(storage: Path, trials: int, race: int, seeds: int) -> SweepConfig:
    """Configure a sweep of that budget, with random settings."""
    return sweep(storage, search={"sampler": "random", "trials": trials, "race": race}, seeds=seeds)


def test_any_budgets_one_after_another(tmp_path: Path) -> None:
    """Trials and report seeds from none to more, a race that becomes smaller, goes away, and comes back larger."""
    budgets = [(3, 4, 0), (6, 2, 1), (7, 0, 1), (8, 8, 2)]
    for trials, race, seeds in budgets:
        grown = work(budget(tmp_path / "grown", trials, race, seeds))
    config = budget(tmp_path / "whole", *budgets[-1])
    assert results(config, grown) == results(config, work(config))


def test_what_is_over_is_not_run_again(tmp_path: Path) -> None:
    """From 4 to 12 trials and from 1 to 2 report seeds another setting wins: the former one's run stays, uncounted."""
    before, config = work(budget(tmp_path, 4, 4, 1)), budget(tmp_path, 12, 4, 2)
    after = work(config)
    assert [one for one in before if one not in after] == []
    former, now = sweep_of(config, before), sweep_of(config, after)
    assert former.found != now.found
    reports = [(one.setting, one.seed) for one in after if one.phase == "finalist"]
    assert reports == [(now.paper, 1), (former.found, 1), (now.paper, 2), (now.found, 1), (now.found, 2)]
    assert [one.setting for one in now.uncounted if one.phase == "finalist"] == [former.found]
    assert [one.setting for one in now.list_counted("finalist")] == [now.paper, now.paper, now.found, now.found]
