"""The queue, with a study on real SQLite: what is run, in which order, and where a search ends."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.bowl import NAME, finished, parts, score, settings, sweep, work
from support.trials import PAPER
from sweep.errors import ConfigError
from sweep.records import Setting, TrialRecord
from sweep.search.queue import (
    compute_busy_hours,
    count_planned_trials,
    count_search_trials,
    is_in_space,
    pending_trials,
    select_planned,
    validate_search,
)
from sweep.search.race import list_own_trials
from sweep.search.study import SweepStudy, TrialRequest

RACED = {"trials": 12, "race": 4}
OUTSIDE: Setting = {"alpha": 9.0, "beta": 7.0}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[TrialRecord]:
    """A sweep of 12 trials with race and report that nobody interrupted."""
    return work(sweep(tmp_path_factory.mktemp("whole"), search=RACED, seeds=1))


def test_a_trial_in_flight_is_run_again(tmp_path: Path, whole: list[TrialRecord]) -> None:
    """Killed in trial 0, 7, 10, in the race and after it: each is run again under its index and seed."""
    config = sweep(tmp_path, search=RACED, seeds=1)
    for trials in (0, 7, 3, 3, 4):
        work(config, trials=trials)
        ledger = SweepStudy(config, NAME)
        task = next(pending_trials(config, PAPER, ledger))
        assert task is not None
        killed = ledger.open_attempt(task)
        again = TrialRequest(phase=killed.phase, index=killed.index, seed=killed.seed, setting=killed.setting)
        assert next(pending_trials(config, PAPER, SweepStudy(config, NAME))) == again
    assert settings(work(config)) == settings(whole)


def test_a_driver_that_dies_while_it_asks_leaves_no_trial(tmp_path: Path, whole: list[TrialRecord]) -> None:
    """An Optuna trial without our index is nobody's: the sweep is the same without it."""
    config = sweep(tmp_path, search=RACED, seeds=1)
    for trials in (3, 6):
        work(config, trials=trials)
        optuna.load_study(study_name=NAME, storage=f"sqlite:///{tmp_path / NAME / 'study.db'}").ask()
    assert settings(work(config)) == settings(whole)


def test_nothing_is_left_after_a_whole_sweep(tmp_path: Path) -> None:
    """3 of the search, a race of 2 settings over 2 seeds, winner and paper's on 2 seeds: 3 + 4 + 4; then nothing."""
    config = sweep(tmp_path, search={"race": 4}, seeds=2)
    assert len(work(config)) == count_planned_trials(config, PAPER) == 11
    assert list(pending_trials(config, PAPER, SweepStudy(config, NAME))) == []


def test_what_is_planned_of_a_sweep_that_goes_on(tmp_path: Path, whole: list[TrialRecord]) -> None:
    """While 3 of 15 trials are to come only the paper's repeat is sure to count, then race and winner's too."""
    config = sweep(tmp_path, search=RACED, seeds=1)
    assert select_planned(config, PAPER, whole) == whole
    more = sweep(tmp_path, search={"trials": 15, "race": 4}, seeds=1)
    sure = [record for record in whole if record.phase == "search" or record.setting == PAPER]
    assert len(sure) == 13 and select_planned(more, PAPER, whole) == sure


def test_another_seed_asks_other_settings(tmp_path: Path) -> None:
    """Only the paper's setting, which comes first, is the same under two seeds."""
    first, second = (work(sweep(part, seed=seed)) for seed, part in enumerate(parts(tmp_path)))
    same = [a.setting == b.setting for a, b in zip(first, second, strict=True)]
    assert same == [True, False, False]


def test_the_paper_comes_first_where_the_space_holds_it(tmp_path: Path) -> None:
    """Index 0 is the paper's setting; one outside the space is a finalist all the same."""
    records = work(sweep(tmp_path, seeds=1), paper=OUTSIDE)
    repeated = [record.setting for record in records if record.phase == "finalist"]
    assert OUTSIDE not in [record.setting for record in records if record.phase == "search"]
    assert repeated[0] == OUTSIDE


def test_what_the_space_reaches(tmp_path: Path) -> None:
    """Inside; outside a range; with another value fixed; with a value that the paper does not speak of."""
    config = sweep(tmp_path)
    assert is_in_space(config, PAPER)
    assert not is_in_space(config, OUTSIDE)
    assert not is_in_space(config, None)
    fixed = sweep(tmp_path, space={"beta": {"low": 1, "high": 9}}, fixed={"alpha": 2.0})
    assert not is_in_space(fixed, PAPER)
    assert is_in_space(fixed, {"alpha": 2.0, "beta": 7.0})
    more = sweep(tmp_path, fixed={"retain.weight": 0.3})
    assert not is_in_space(more, PAPER)


def test_finalists_share_their_seeds(tmp_path: Path) -> None:
    """The paper's setting and the race's winner, each on seeds 1 and 2, in this order; the search is all on seed 0."""
    records = work(sweep(tmp_path, search={"trials": 6}, seeds=2))
    best = min((r for r in records if r.phase == "search" and r.setting != PAPER), key=lambda r: r.score)
    expected = [(setting, seed) for setting in [PAPER, best.setting] for seed in (1, 2)]
    assert [(r.setting, r.seed) for r in records if r.phase == "finalist"] == expected
    assert {r.seed for r in records if r.phase == "search"} == {0}


def test_a_search_on_both_sides_goes_by_score(tmp_path: Path) -> None:
    """Optuna knows two values of each trial, but the one with the lowest score races, and wins."""
    records = work(sweep(tmp_path, search={"sampler": "nsga2", "trials": 8, "race": 4}, seeds=1), paper=None)
    scores = sorted(record.score for record in records if record.phase == "search")
    assert scores[0] in {score(record.setting) for record in records if record.phase == "race"}
    assert [score(record.setting) for record in records if record.phase == "finalist"] == scores[:1]


def test_the_best_are_distinct_and_did_not_diverge(tmp_path: Path) -> None:
    """By score: .1 diverged, .2 twice the same setting, .25 the paper's as trial 0, .4, .5 failed: .2 and .4 remain."""
    config = sweep(tmp_path)
    rows = [(0.25, 9, ""), (0.1, 0, "diverged"), (0.2, 1, ""), (0.2, 1, ""), (0.4, 3, ""), (0.5, 4, "")]
    records = [
        TrialRecord(
            phase="search",
            index=index,
            setting={"alpha": alpha},
            seed=0,
            state="failed" if value == 0.5 else "finished",
            metrics={"score": value},
            reason=reason,
        )
        for index, (value, alpha, reason) in enumerate(rows)
    ]
    assert [r.setting["alpha"] for r in list_own_trials(config, {"alpha": 9}, records)] == [1, 3]
    assert [r.setting["alpha"] for r in list_own_trials(config, None, records)] == [1, 9, 3]


def test_the_best_wait_for_the_last_search_trial(tmp_path: Path) -> None:
    """With a search trial under way the paper's repeats are handed out, then nothing until the trial is over."""
    config = sweep(tmp_path, seeds=1)
    ledger = SweepStudy(config, NAME)
    tasks = pending_trials(config, PAPER, ledger)
    running = [ledger.open_attempt(task) for task in islice(tasks, 3) if task is not None]
    ledger.close_attempt(finished(running[0]))
    ledger.close_attempt(finished(running[1]))
    repeat = next(tasks)
    assert repeat is not None
    assert repeat.setting == PAPER
    assert next(tasks) is None
    ledger.close_attempt(replace(running[2], state="failed", reason="it broke"))
    assert next(tasks) is not None


def test_a_failed_trial_is_run_again_only_when_resumed(tmp_path: Path) -> None:
    """Its setting, index and seed come again in the next run; the last attempt counts."""
    config = sweep(tmp_path, search={"trials": 2})
    ledger = SweepStudy(config, NAME)
    for task in pending_trials(config, PAPER, ledger):
        assert task is not None
        ledger.close_attempt(replace(ledger.open_attempt(task), state="failed", reason=f"broke at {task.index}"))
    failed = ledger.list_records()
    assert [(r.state, r.reason) for r in failed] == [("failed", "broke at 0"), ("failed", "broke at 1")]
    again = work(config)
    assert settings(again) == settings(failed)
    assert [record.state for record in again] == ["finished", "finished"]


def test_a_stopped_trial_is_over(tmp_path: Path) -> None:
    """What ASHA stopped is not run again when the sweep is resumed, and is no finalist."""
    config = sweep(tmp_path, search={"trials": 8, "stop": "asha"}, seeds=1)
    records = work(config)
    stopped = [record.setting for record in records if record.state == "pruned"]
    assert stopped
    assert list(pending_trials(config, PAPER, SweepStudy(config, NAME))) == []
    assert not [record for record in records if record.phase == "finalist" and record.setting in stopped]


class Clock:
    """A clock that only the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for the time of day."""
        self.now = 1e9
        for module in ("queue", "study"):
            monkeypatch.setattr(f"sweep.search.{module}.now", lambda: self.now)


def run_for(config_hours: float | None, trials: int | None, seconds: float, tmp_path: Path, clock: Clock) -> int:
    """How many search trials of so many seconds each a sweep has, with a night's pause after the first."""
    config = sweep(tmp_path, search={"hours": config_hours, "trials": trials}, seeds=1)
    for at_most in (1, 1000):
        clock.now += 40_000
        ledger = SweepStudy(config, NAME)
        for task in islice(pending_trials(config, PAPER, ledger), at_most):
            assert task is not None
            record = ledger.open_attempt(task)
            clock.now += seconds
            ledger.close_attempt(finished(record))
    phases = [record.phase for record in ledger.list_records()]
    assert phases.count("finalist") == 1 + (phases.count("search") > 1)
    return phases.count("search")


@pytest.mark.parametrize(
    ("config_hours", "trials", "found"),
    [(1.0, None, 4), (1.0, 24, 4), (1.0, 3, 3), (0.1, None, 1), (1.25, None, 5)],
)
def test_hours_end_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config_hours: float, trials: int | None, found: int
) -> None:
    """Trials of a quarter of an hour: the fourth begins after 45 min and ends at 1 h; the pause between is free."""
    assert run_for(config_hours, trials, 900, tmp_path, Clock(monkeypatch)) == found


def test_hours_also_end_what_would_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the hours a failed trial stays failed, also when the sweep is resumed."""
    config, clock = sweep(tmp_path, search={"hours": 1.0, "trials": 3}), Clock(monkeypatch)
    ledger = SweepStudy(config, NAME)
    record = ledger.open_attempt(TrialRequest(phase="search", index=0, seed=0, setting=None))
    clock.now += 3600
    ledger.close_attempt(replace(record, state="failed", reason="it broke"))
    assert list(pending_trials(config, PAPER, SweepStudy(config, NAME))) == []


def test_hours_are_a_union() -> None:
    """[0, 2] and [1, 3] overlap, [5, 6] stands alone, one runs since 9 and it is 10: 3 + 1 + 1 hours."""
    spans = [(0, 2), (1, 3), (5, 6), (9, 0)]
    records = [trial(3600 * start + 3600, 3600 * end + 3600 if end else 0) for start, end in spans]
    assert compute_busy_hours(records, 11 * 3600) == 5


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), max_size=8))
def test_hours_count_every_second_once(spans: list[tuple[int, int]]) -> None:
    """As many as there are seconds that lie within a span."""
    records = [trial(start, start + length) for start, length in sorted(spans)]
    covered = {second for start, length in spans for second in range(start, start + length)}
    assert compute_busy_hours(records, 100) * 3600 == pytest.approx(len(covered))


@pytest.mark.parametrize(("jump", "found"), [(0.0, 6), (1.0, 6), (1e5, 6), (-1.0, 5), (-2.5, 6), (-1e5, 6)])
def test_hours_stand_a_clock_that_is_set_between_two_runs(jump: float, found: float) -> None:
    """[0, 2] and [1, 3] before, [3, 5] and [4, 6] after it, moved by the jump: wrong by no more than that."""
    records = [trial(3600 * start, 3600 * (start + 2)) for start in (2e5, 2e5 + 1, 2e5 + 3 + jump, 2e5 + 4 + jump)]
    assert compute_busy_hours(records, 0) == found


def trial(started: float, ended: float) -> TrialRecord:
    """A trial with these times."""
    return TrialRecord(phase="search", index=0, setting={}, seed=0, state="finished", started=started, ended=ended)


def test_the_papers_sampler_runs_the_papers_setting(tmp_path: Path) -> None:
    """One trial whatever `trials` says, and 3 repeats of it: its score over report seeds and nothing else."""
    config = sweep(tmp_path, search={"sampler": "paper", "trials": 24}, seeds=3)
    records = work(config)
    assert [(record.phase, record.seed) for record in records] == [("search", 0), *(("finalist", s) for s in (1, 2, 3))]
    assert all(record.setting == PAPER for record in records)
    assert (count_search_trials(config), count_planned_trials(config, PAPER)) == (1, 4)


def test_the_papers_sampler_needs_the_papers_setting(tmp_path: Path) -> None:
    """Where the paper has none, or the space does not hold it, one sentence says so."""
    config = sweep(tmp_path, search={"sampler": "paper"})
    validate_search(config, PAPER)
    with pytest.raises(ConfigError, match=r"^search\.sampler = 'paper': the paper has no setting of alpha, beta for"):
        validate_search(config, None)
    with pytest.raises(ConfigError, match="space and fixed do not hold the paper's setting"):
        validate_search(config, OUTSIDE)
    validate_search(sweep(tmp_path), None)


def test_asha_needs_every_epoch(tmp_path: Path) -> None:
    """Trials are compared after 2, 6, 18 epochs: each must have its point."""
    with pytest.raises(ConfigError, match=r"^eval\.every = 2 must be 1 where search\.stop = 'asha'\.$"):
        validate_search(sweep(tmp_path, search={"stop": "asha"}, eval={"every": 2, "suite": "search"}), None)


@pytest.mark.parametrize(
    ("search", "search_trials", "all_trials"),
    [
        ({"trials": 24}, 24, 24 + 2 * 2),
        ({"trials": 24, "race": 5}, 24, 24 + 4 + 2 * 2),
        ({"trials": 24, "hours": 2.0, "race": 9}, 24, 24 + 8 + 2 * 2),
        ({"trials": None, "hours": 2.0}, None, None),
        ({"trials": 1, "race": 4}, 1, 1 + 2 * 2),
        ({"trials": 2, "race": 4}, 2, 2 + 2 * 2),
        ({"trials": 24, "sampler": "grid", "race": 4}, 16, 16 + 4 + 2 * 2),
        ({"trials": None, "hours": 2.0, "sampler": "paper"}, 1, 1 + 2 * 1),
    ],
)
def test_what_is_planned(
    tmp_path: Path, search: dict[str, object], search_trials: int | None, all_trials: int | None
) -> None:
    """A grid of 4 × 4 of 24; a race of 2 if so many are found; on 2 seeds winner and paper's; hours: nobody knows."""
    config = sweep(tmp_path, search=search, seeds=2)
    assert (count_search_trials(config), count_planned_trials(config, PAPER)) == (search_trials, all_trials)


def test_a_grid_runs_every_cell_once(tmp_path: Path) -> None:
    """9 trials: 3 × 3 cells, the paper's setting only among the finalists."""
    records = work(sweep(tmp_path, search={"sampler": "grid", "trials": 9}, seeds=1))
    cells = [(record.setting["alpha"], record.setting["beta"]) for record in records if record.phase == "search"]
    middle = pytest.approx((0.25 * 10) ** 0.5)
    assert sorted(cells) == [(a, b) for a in (0, 2.5, 5) for b in (0.25, middle, 10)]
    assert records[9].setting == PAPER
