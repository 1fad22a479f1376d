"""The race against numbers worked out by hand, and laws that hold for all scores."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import f as f_distribution

from support import toys
from support.bowl import NAME, finished, sweep, work
from support.trials import PAPER, races, trial
from sweep.config.schema import SweepConfig
from sweep.records import INTERRUPTED_REASON, Setting, TrialRecord, Value
from sweep.search.queue import pending_trials
from sweep.search.race import compute_limit, count_racers, hold_race, list_race_seeds
from sweep.search.study import SweepStudy, TrialRequest

A, B, C, D = (dict[str, Value](alpha=1.5 * i, beta=2.0) for i in range(4))
SEARCH = [trial(0, PAPER, 0.05), *(trial(i + 1, setting, 0.1 * (i + 1)) for i, setting in enumerate((A, B, C, D)))]
SEED = 2**20


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """A race of four settings over four seeds."""
    return toys.config(tmp_path, search={"race": 16})


def settings(config: SweepConfig, records: list[TrialRecord]) -> list[tuple[Setting, str]]:
    """The settings in the order of the race, with the reasons of those that left."""
    return [(racer.setting, racer.left) for racer in hold_race(config, PAPER, records).racers]


@pytest.mark.parametrize(
    ("race", "racers", "rounds"), [(0, 1, 0), (2, 2, 1), (7, 2, 3), (8, 2, 4), (16, 4, 4), (23, 5, 4)]
)
def test_a_race_has_at_most_so_many_runs(tmp_path: Path, race: int, racers: int, rounds: int) -> None:
    """Four rounds where there are runs enough, of as many settings as they allow, and two settings at least."""
    config = toys.config(tmp_path, search={"race": race})
    assert (count_racers(race), len(list_race_seeds(config))) == (racers, rounds)
    assert racers * rounds <= race


def test_race_seeds_are_no_report_seeds(tmp_path: Path) -> None:
    """Report seeds are seed + 1 ... seed + seeds, at most a million of them."""
    config = toys.config(tmp_path, seed=7, seeds=10**6, search={"race": 8})
    assert list_race_seeds(config) == [7 + SEED + i for i in range(4)]
    assert config.seed + config.seeds < list_race_seeds(config)[0]


def test_the_limit_by_hand() -> None:
    """Scores .1 .2 and .4 .3: rests ∓.05 ±.05, variance .01 with one degree of freedom, t(.9, 1) = 3.0777."""
    assert compute_limit([[0.1, 0.2], [0.4, 0.3]]) == pytest.approx(3.0776835 * (2 * 0.01 / 2) ** 0.5)
    assert compute_limit([[0.1], [0.4]]) == float("inf")


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=2, max_size=2))
def test_for_two_racers_the_limit_is_that_of_the_analysis_of_variance(scores: list[tuple[float, float, float]]) -> None:
    """A gap exceeds it where F = MS(settings) / MS(rest) exceeds the upper fifth of F(1, 2): the same, two-sided."""
    (ours, others), n = scores, 3
    gaps = [one - other for one, other in zip(ours, others, strict=True)]
    mean = sum(gaps) / n
    rest = sum((gap - mean) ** 2 for gap in gaps) / 2 / (n - 1)
    expected = (f_distribution.ppf(0.8, 1, n - 1) * rest * 2 / n) ** 0.5
    assert compute_limit(scores) == pytest.approx(expected, abs=1e-9)


def test_racers_are_not_nearly_alike(tmp_path: Path) -> None:
    """Alpha 0, .4 and 4 of 0 to 5: the second, .08 from the first, gives way; where it alone is left, it races."""
    config = toys.config(tmp_path, search={"race": 8})
    first, near, far = (dict[str, Value](alpha=alpha, beta=2.0) for alpha in (0.0, 0.4, 4.0))
    found = [trial(i + 1, setting, 0.1 * (i + 1)) for i, setting in enumerate((first, near, far))]
    assert [racer.setting for racer in hold_race(config, PAPER, found).racers] == [first, far]
    assert [racer.setting for racer in hold_race(config, PAPER, found[:2]).racers] == [first, near]


def test_before_it_begins_the_best_of_the_search_leads(config: SweepConfig) -> None:
    """The paper's setting, which the search was given, is no racer; every run is still to come, round by round."""
    race = hold_race(config, PAPER, SEARCH)
    assert (race.winner, race.n_rounds, race.is_over) == (A, 0, False)
    assert race.next_runs() == [(setting, SEED + i) for i in range(4) for setting in (A, B, C, D)]


def test_who_is_behind_leaves_after_two_rounds(config: SweepConfig) -> None:
    """Means .25 .25 .65 .85, no noise but the seeds' own: C and D are behind; A and B go on."""
    records = [*SEARCH, *races(config, A, 0.2, 0.3), *races(config, B, 0.2, 0.3), *races(config, C, 0.6, 0.7)]
    one_missing = [*records, *races(config, D, 0.8)]
    assert hold_race(config, PAPER, one_missing).n_rounds == 1
    assert [left for _, left in settings(config, one_missing)] == [""] * 4
    whole = [*records, *races(config, D, 0.8, 0.9)]
    assert settings(config, whole) == [(A, ""), (B, ""), (C, "behind after round 2"), (D, "behind after round 2")]
    assert hold_race(config, PAPER, whole).next_runs() == [(one, SEED + i) for i in (2, 3) for one in (A, B)]


def test_the_last_one_left_wins_and_ends_the_race(tmp_path: Path) -> None:
    """B's mean .15 against A's .55, no noise: no third round."""
    config = toys.config(tmp_path, search={"race": 8})
    race = hold_race(config, PAPER, [*SEARCH, *races(config, A, 0.5, 0.6), *races(config, B, 0.1, 0.2)])
    assert (race.winner, race.is_over, race.n_rounds, race.next_runs()) == (B, True, 2, [])


def test_runs_ahead_of_a_round_do_not_count(tmp_path: Path) -> None:
    """A's third run came before B's second: the race is as if it had not."""
    config = toys.config(tmp_path, search={"race": 8})
    records = [*SEARCH, *races(config, A, 0.1, 0.2), *races(config, B, 0.2)]
    assert hold_race(config, PAPER, [*records, *races(config, A, 0.1, 0.2, 9.0)]) == hold_race(config, PAPER, records)


def test_which_runs_count(tmp_path: Path, config: SweepConfig) -> None:
    """C left after round 2, so that its third run does not; nor do runs of a setting that is no racer, or no seed."""
    records = [*SEARCH, *(run for one in (A, B) for run in races(config, one, 0.2, 0.3))]
    race = hold_race(config, PAPER, [*records, *(run for one in (C, D) for run in races(config, one, 0.6, 0.7))])
    counted = [[race.holds(one, SEED + i) for i in range(5)] for one in (A, C, PAPER)]
    assert counted == [[True] * 4 + [False], [True] * 2 + [False] * 3, [False] * 5]
    failed = replace(races(config, B, 0.9)[0], state="failed", metrics={}, reason="it broke")
    two = toys.config(tmp_path, search={"race": 8})
    over = hold_race(two, PAPER, [*SEARCH[:3], *races(two, A, 0.2), failed])
    assert over.is_over
    assert [[over.holds(one, SEED + i) for i in range(2)] for one in (A, B)] == [[True, False]] * 2


def test_who_fails_leaves_and_who_diverged_has_its_score(config: SweepConfig) -> None:
    """B's run failed; C's diverged with the worst score; D's was interrupted, so that its round is not complete."""
    (failed,), (diverged,), (cut,) = (races(config, one, 0.9) for one in (B, C, D))
    records = [*SEARCH, *races(config, A, 0.2), replace(failed, state="failed", metrics={}, reason="it broke")]
    records += [replace(diverged, reason="loss is not finite")]
    assert hold_race(config, PAPER, [*records, replace(cut, state="failed", reason=INTERRUPTED_REASON)]).n_rounds == 0
    race = hold_race(config, PAPER, [*records, *races(config, D, 0.3)])
    assert [(racer.setting, racer.left) for racer in race.racers][-1] == (B, f"failed on seed {SEED}: it broke")
    assert [racer.setting for racer in race.remaining] == [A, D, C]


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=4, max_size=4), st.randoms())
def test_the_order_of_the_records_says_nothing(scores: list[list[float]], order: random.Random) -> None:
    """Whatever ended first: the same race; and who wins has the lowest mean of those that are left."""
    config = toys.config(Path("/"), search={"race": 16})
    records = [*SEARCH, *(r for one, own in zip((A, B, C, D), scores, strict=True) for r in races(config, one, *own))]
    mixed = order.sample(records, len(records))
    race = hold_race(config, PAPER, mixed)
    assert race == hold_race(config, PAPER, records)
    assert race.is_over
    lowest = min(racer.mean for racer in race.remaining)
    assert race.winner in [racer.setting for racer in race.remaining if racer.mean == lowest]


def test_one_worker_runs_no_more_than_it_needs(tmp_path: Path) -> None:
    """Scores without noise: the two settings part after two rounds, and the winner alone is reported."""
    config = sweep(tmp_path, search={"trials": 6, "race": 8}, seeds=2)
    records = work(config)
    best, second, *_ = sorted((r for r in records if r.phase == "search" and r.index), key=lambda r: r.score)
    raced = [(r.setting, r.seed) for r in records if r.phase == "race"]
    assert raced == [(setting, SEED + i) for i in (0, 1) for setting in (best.setting, second.setting)]
    reported = [(r.setting, r.seed) for r in records if r.phase == "finalist"]
    assert reported == [(setting, seed) for setting in (PAPER, best.setting) for seed in (1, 2)]
    assert list(pending_trials(config, PAPER, SweepStudy(config, NAME))) == []


def test_idle_workers_run_later_rounds_ahead(tmp_path: Path) -> None:
    """With 8 idle workers all runs of the race are handed out at once, each once; then they wait."""
    config = sweep(tmp_path, search={"trials": 4, "race": 8}, seeds=0)
    work(config, trials=4)
    study = SweepStudy(config, NAME)
    pending = pending_trials(config, PAPER, study)
    opened = []
    while (request := next(pending)) is not None:
        opened.append(study.open_attempt(request))
    assert [record.index for record in opened] == [*range(8)]
    assert sorted(record.seed - SEED for record in opened) == sorted([*range(4)] * 2)
    assert next(pending) is None
    for record in opened:
        study.close_attempt(finished(record))
    assert list(pending) == []


def test_a_failed_run_is_repeated_once(tmp_path: Path) -> None:
    """Under its index; when it fails again its setting leaves, and the other one has won."""
    config = sweep(tmp_path, search={"trials": 4, "race": 8}, seeds=0)
    work(config, trials=4)
    study = SweepStudy(config, NAME)
    asked: list[TrialRequest] = []
    for request in pending_trials(config, PAPER, study):
        assert request is not None
        asked.append(request)
        record = study.open_attempt(request)
        if record.setting == asked[0].setting:
            study.close_attempt(replace(record, state="failed", reason="it broke"))
        else:
            study.close_attempt(finished(record))
    assert [request.index for request in asked] == [0, 0, 1]
    race = hold_race(config, PAPER, study.list_records())
    assert (race.winner, race.is_over) == (asked[2].setting, True)


def test_a_race_that_is_cut_goes_on_as_it_would_have(tmp_path: Path) -> None:
    """Killed after every single run: the same runs in the same order, with the same indices."""
    whole = work(sweep(tmp_path / "whole", search={"trials": 5, "race": 12}, seeds=1))
    config = sweep(tmp_path / "cut", search={"trials": 5, "race": 12}, seeds=1)
    for _ in whole:
        records = work(config, trials=1)
    assert [(r.phase, r.index, r.seed, r.setting) for r in records] == [
        (r.phase, r.index, r.seed, r.setting) for r in whole
    ]


def test_without_a_race_the_lowest_score_of_the_search_wins(tmp_path: Path) -> None:
    """search.race = 0: no run on a race seed, and the search's best is what is reported."""
    config = sweep(tmp_path, search={"trials": 6, "race": 0}, seeds=1)
    records = work(config)
    best = min((r for r in records if r.phase == "search" and r.index), key=lambda r: r.score)
    assert [r.setting for r in records if r.phase == "finalist"] == [PAPER, best.setting]
    assert [r for r in records if r.phase == "race"] == []
