"""The time that is left: sweeps played by hand, what is learned from trials, and a made-up sweep from start to end."""

from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from support.plans import toy_plan
from support.toys import config as toy_config
from support.trials import PAPER
from sweep.config.schema import SweepConfig
from sweep.display.remaining import Durations, Kind, Remaining, Run, classify_run, count_remaining, measure_durations
from sweep.display.state import SweepsState
from sweep.display.time_left import OUTPUT_S, BusySlot, PlayedSweep, estimate_time_left, play_sweeps
from sweep.records import Phase, TrialRecord


def played(search: float = 0, paper: int = 0, race: int = 0, winner: int = 0, search_s: float = inf) -> PlayedSweep:
    """A sweep whose runs take ten seconds each."""
    return PlayedSweep(
        search=search,
        search_s=search_s,
        paper=["report"] * paper,
        race=race,
        winner=["report"] * winner,
        seconds=lambda _: 10.0,
    )


def record(phase: Phase, index: int, started: float, ended: float = 0.0, **changes: object) -> TrialRecord:
    """A run of the paper's setting, which runs where it has no end."""
    made = TrialRecord(
        phase=phase,
        index=index,
        setting=PAPER,
        seed=index + 1,
        state="finished" if ended else "running",
        metrics={"score": 0.5} if ended else {},
        started=started,
        ended=ended,
        worker="a",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def run(kind: Kind, started: float, ended: float = 0.0, worker: str = "a", **changes: object) -> Run:
    """A run of a kind."""
    phase: Phase = "search" if kind == "search" else "race" if kind == "race" else "finalist"
    return Run(kind=kind, record=record(phase, 0, started, ended, worker=worker), **changes)  # type: ignore[arg-type]


def test_a_sweep_is_played_to_its_end() -> None:
    """Two slots: two trials until 10, the third and the paper's until 20, two of the race until 30, the winner's 40."""
    assert play_sweeps([played(search=3, paper=1, race=2, winner=1)], [], 2) == 40
    assert play_sweeps([played()], [], 2) == 0


def test_the_race_waits_for_the_search_and_the_winner_for_the_race() -> None:
    """A trial ends at 5; then the race takes 10 and the winner 10, though there are three slots."""
    sweep = played(race=1, winner=1)
    sweep.running = Counter[Phase]({"search": 1})
    assert play_sweeps([sweep], [BusySlot(ends=5.0, sweep=0, phase="search")], 3) == 25


def test_sweeps_side_by_side_fill_the_slots() -> None:
    """Of two sweeps each has a trial and a run of its winner: two slots take 20 s, four as well, one takes 40 s."""
    assert [play_sweeps([played(search=1, winner=1), played(search=1, winner=1)], [], n) for n in (1, 2, 4)] == [
        40,
        20,
        20,
    ]


def test_hours_end_the_search() -> None:
    """Of trials without number the last begins at 20, before 25; then the paper's run follows."""
    assert play_sweeps([played(search=inf, search_s=25.0, paper=1)], [], 1) == 40


@pytest.mark.parametrize(("search", "search_s", "expected"), [(1500, None, 375.0), (None, 1000.0, 1000.0)])
def test_many_trials_are_not_played_one_by_one(search: int | None, search_s: float | None, expected: float) -> None:
    """1,500 trials of a second on four slots; or as many as there are in 1,000 s."""
    left = Remaining(search=search, search_s=search_s, paper=[], race=0, race_round=0, winner=[])
    runs = [run("search", 0.0, 1.0), run("search", 1.0, 2.0)]
    assert estimate_time_left([left], [runs], 4, 10.0) == pytest.approx(expected + OUTPUT_S)


def test_trials_that_take_no_time_have_an_end_too() -> None:
    """In an hour there are 3.6 million of a millisecond, and no division by zero."""
    left = Remaining(search=None, search_s=3600.0, paper=[], race=0, race_round=0, winner=[])
    runs = [run("search", 1.0, 1.0), run("search", 1.0, 1.0)]
    assert estimate_time_left([left], [runs], 2, 10.0) == pytest.approx(3600 + OUTPUT_S, rel=1e-3)


def test_the_first_run_of_a_worker_is_left_out() -> None:
    """It took 13 s; then 4 and 6 s, a tenth of a second apart; another worker's first took 15 s."""
    runs = [
        run("search", 0.0, 13.0),
        run("search", 13.1, 17.1),
        run("search", 17.2, 23.2),
        run("search", 0.0, 15.0, worker="b"),
    ]
    measured = measure_durations(runs)
    assert measured.seconds == pytest.approx({"search": 5.0})
    assert measured.estimate("search") == measured.estimate("race") == pytest.approx(5.1)
    assert measure_durations([run("search", 0.0, 13.0)]).seconds == {"search": 13.0}
    assert measure_durations([run("search", 0.0)]).seconds == {}


def test_progress_tells_before_a_second_run_has_ended() -> None:
    """A tenth was done after 9 s, half after 11, all after 13.5: without the loading it takes 2 / 0.4 = 4.5 / 0.9 s."""
    for one in (run("search", 0.0, 13.5, points=[(0.1, 9.0)]), run("search", 0.0, points=[(0.1, 9.0), (0.5, 11.0)])):
        assert measure_durations([one]).seconds["search"] == pytest.approx(5.0)
    assert measure_durations([run("search", 0.0, points=[(0.25, 5.0)])]).seconds["search"] == 20.0


def test_a_run_that_takes_longer_than_others_is_measured_by_itself() -> None:
    """Usually 10 s: 4 s are left after 6 s; after 12 s, of which 11 brought it to a half, 10 s."""
    one = run("search", 100.0, points=[(0.1, 2.0), (0.5, 11.0)])
    assert [one.estimate_left(10.0, 100.0 + at) for at in (6.0, 12.0, 30.0)] == [4.0, 10.0, 0.0]


def test_a_report_on_the_first_seed_has_a_duration_of_its_own() -> None:
    """Without one, it is twice as long as other reports, else as the race, else as the search."""
    assert Durations(seconds={"search": 1.0, "race": 2.0}, gap=0.0).estimate("first report") == 4.0
    assert Durations(seconds={"report": 3.0, "first report": 9.0}, gap=1.0).estimate("first report") == 10.0


def test_what_remains_is_counted(tmp_path: Path) -> None:
    """Of 10 trials 2 have begun, of the paper's 3 reports the first; the race has at most 2 settings on 4 seeds."""
    config = toy_config(tmp_path, search={"trials": 10, "race": 8}, seeds=3)
    begun = [record("search", 0, 0.0, 5.0), record("search", 1, 5.0), record("finalist", 0, 5.0)]
    left = count_remaining(config, PAPER, begun, 6.0)
    assert (left.search, left.search_s, left.paper) == (8, None, ["report", "report"])
    assert (left.race, left.expected_race, left.winner) == (8, 6, ["first report", "report", "report"])
    assert left.total == 8 + 2 + 8 + 3


def test_hours_are_counted_from_the_first_trial(tmp_path: Path) -> None:
    """Of a hundredth of an hour, 36 s, 6 have passed."""
    config = toy_config(tmp_path, search={"trials": None, "hours": 0.01})
    left = count_remaining(config, None, [record("search", 0, 100.0)], 106.0)
    assert (left.search, left.paper, left.total) == (None, [], None)
    assert left.search_s == pytest.approx(30.0)


def made_up(config: SweepConfig) -> list[TrialRecord]:
    """24 trials and 2·5 reports on two workers: 4 s each, first ones 13 s, those of the full suite 8 s, 50 ms apart."""
    runs: list[tuple[Phase, int, float]] = [("search", index, 13.0 if index < 2 else 4.0) for index in range(24)]
    runs += [("finalist", index, 8.0 if index % 5 == 0 else 4.0) for index in range(10)]
    free, records = {"a": 0.0, "b": 0.0}, list[TrialRecord]()
    for phase, index, seconds in runs:
        worker = min(free, key=lambda name: free[name])
        if (phase, index) == ("finalist", 5):  # the winner waits for the search
            free[worker] = max(free[worker], *(one.ended for one in records if one.phase == "search"))
        setting = PAPER if phase == "search" or index < 5 else PAPER | {"alpha": 2.0}
        seed = config.seed + 1 + index % 5 if phase == "finalist" else index
        one = record(phase, index, free[worker], free[worker] + seconds, setting=setting, seed=seed, worker=worker)
        records.append(one)
        free[worker] = one.ended + 0.05
    return records


def test_the_second_half_of_a_sweep_is_foreseen(tmp_path: Path) -> None:
    """Within a tenth of what remains, whenever it is asked from the first third on until all runs are over."""
    config = toy_config(tmp_path, search={"trials": 24, "race": 0}, seeds=5)
    records = made_up(config)
    end = max(one.ended for one in records) + OUTPUT_S
    for step in range(35, 95):
        now = end * step / 100
        begun = [one if one.ended <= now else replace(one, state="running") for one in records if one.started <= now]
        runs = [Run(kind=classify_run(config, one), record=one) for one in begun]
        left = estimate_time_left([count_remaining(config, PAPER, begun, now)], [runs], 2, now)
        assert left == pytest.approx(end - now, rel=0.1), step


def test_a_cluster_that_grows_is_forecast_by_what_runs(tmp_path: Path) -> None:
    """Of 32 slots one is there yet: 9 further trials of 2 s take 18 s; those of a finished search may have all."""
    plan = toy_plan(toy_config(tmp_path, search={"trials": 10, "race": 0}), "sweep")
    state = SweepsState([plan])
    state.n_slots = 32
    state.update_trial("sweep", record("search", 0, 1.0, 3.0))
    state.refresh_forecast()
    assert state.describe_progress() == "1/10 trials  about 0:22 left  0:00 elapsed"


def test_resumed_trials_tell_how_long_one_takes(tmp_path: Path) -> None:
    """4 s each; the sweep that goes on knows what is left before a trial of its own has ended."""
    state = SweepsState([toy_plan(toy_config(tmp_path, search={"trials": 4, "race": 0}), "sweep")])
    state.add_resumed("sweep", [record("search", 0, 1.0, 5.0), record("search", 1, 5.0, 9.0)])
    state.update_trial("sweep", record("search", 2, 9.0, 13.0))
    state.refresh_forecast()
    assert state.forecast.n_trials == 4
    assert state.describe_progress().startswith("3/4 trials  about 0:08 left")
