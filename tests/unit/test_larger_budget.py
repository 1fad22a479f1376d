"""A finished sweep that goes on with another budget: on one worker it comes to what a sweep of that budget has.

test_samplers.py has that with every sampler.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support import toys
from support.bowl import sweep, work
from support.trials import PAPER, repeats, sweep_of, trial
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.plan.changes import check_changes
from sweep.records import TrackingRun, TrialRecord
from sweep.results.csv_tables import format_repeats_csv, format_trials_csv
from sweep.results.write_results import SweepSeconds, build_summary
from sweep.search.grid import build_grid

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


def refusal(monkeypatch: pytest.MonkeyPatch, records: Sequence[TrialRecord], begun: SweepConfig, **more: Any) -> str:
    """What is said of a sweep with these trials that is resumed with other numbers; nothing if it goes on."""
    monkeypatch.setattr("sweep.search.study.read_records", lambda *_: records)
    search = begun.search.model_copy(update={key: value for key, value in more.items() if key != "seeds"})
    changed = begun.model_copy(update={"search": search, "seeds": more.get("seeds", begun.seeds)})
    try:
        check_changes({"one": begun}, {"one": changed})
    except ConfigError as error:
        return str(error)
    return ""


def test_a_budget_may_not_be_less_than_what_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 trials and 2 report seeds have; hours and the race may be anything."""
    config = toys.config(tmp_path, search={"trials": 9, "hours": 4.0, "race": 8}, seeds=5)
    records = [*(trial(index, PAPER, 0.5) for index in range(3)), *repeats(0, PAPER, 0.5, 0.5)]
    assert refusal(monkeypatch, records, config, trials=2) == (
        "--resume one: search.trials = 2 must be at least 3, the trials of its search that have begun."
    )
    assert refusal(monkeypatch, records, config, seeds=1) == (
        "--resume one: seeds = 1 must be at least 2, the report seeds that have begun."
    )
    assert refusal(monkeypatch, records, config, trials=3, seeds=2, hours=0.1, race=2) == ""
    assert refusal(monkeypatch, records, config, trials=None) == ""


def test_another_grid_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 points of 2 ranges stay 4 up to 8 trials; 9 have the middles too."""
    config = toys.config(tmp_path, search={"sampler": "grid", "trials": 4})
    records = [trial(index, setting, 0.5) for index, setting in enumerate(build_grid(config))]
    assert refusal(monkeypatch, records, config, trials=8) == ""
    assert "search.trials = 9 would divide the ranges of the grid anew" in refusal(
        monkeypatch, records, config, trials=9
    )
    assert refusal(monkeypatch, [], config, trials=9) == ""
