"""The searcher, as Ray Tune calls it: what workers report goes to the ledger and to those who watch."""

from dataclasses import replace
from pathlib import Path

import pytest

from support.bowl import NAME, finished, sweep
from support.searches import search
from support.trials import sides
from sweep.cluster.searcher import StudySearcher
from sweep.config.schema import SweepConfig
from sweep.records import StepProgress, TrialRecord
from sweep.search.study import SweepStudy


class Seen:
    """A watcher that remembers."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.events: list[tuple[str, int]] = []

    def on_trial_update(self, record: TrialRecord) -> None:
        """Remember it."""
        going = f"epoch {record.curve[-1]['epoch']}" if record.curve else "started"
        self.events.append((going if record.state == "running" else record.state, record.index))


def searching(config: SweepConfig) -> tuple[SweepStudy, Seen, StudySearcher]:
    """A search under way."""
    ledger, seen = SweepStudy(config, NAME), Seen()
    return (
        ledger,
        seen,
        StudySearcher([search(config, ledger, seen)], explain_failure=lambda trial: f"{trial} was killed"),
    )


def test_the_searcher_keeps_what_workers_report(tmp_path: Path) -> None:
    """One trial reports a point and its end, one loses its process twice; then there is nothing more to give."""
    ledger, seen, searcher = searching(sweep(tmp_path, search={"trials": 2}))
    first, second = (searcher.suggest(trial)["record"] for trial in ("a", "b"))
    grown = replace(first, curve=[{"epoch": 1}])
    searcher.on_trial_result("a", {"record": grown})
    for _ in range(2):  # Tune repeats the last report.
        searcher.on_trial_result("a", {"record": finished(grown)})
    searcher.on_trial_complete("a", {"record": finished(grown)})
    assert searcher.suggest("c") is None  # the second may still have to be begun again
    searcher.on_trial_complete("b", error=True)
    again = searcher.suggest("c")["record"]
    assert (again.index, again.setting, again.seed) == (second.index, second.setting, second.seed)
    searcher.on_trial_complete("c", error=True)
    assert searcher.suggest("d") == StudySearcher.FINISHED
    assert [(r.state, r.reason, r.run_id) for r in ledger.list_attempts("search")] == [
        ("finished", "", "run 0"),
        ("failed", "b was killed", "run 1"),
        ("failed", "c was killed", "run 1"),
    ]
    assert seen.events[:5] == [("started", 0), ("started", 1), ("epoch 1", 0), ("finished", 0), ("failed", 1)]
    assert seen.events[5:] == [("started", 1), ("failed", 1)]


def test_progress_within_an_epoch_is_only_shown(tmp_path: Path) -> None:
    """ASHA is not asked again, and an attempt that is lost afterwards is kept without it."""
    ledger, seen, searcher = searching(sweep(tmp_path, search={"trials": 1}))
    grown = replace(searcher.suggest("a")["record"], curve=[{"epoch": 1, **sides(0.5, 1.0)}])
    moved = {"record": replace(grown, progress=StepProgress(done=3, total=8))}
    asked = list[TrialRecord]()
    ledger.should_prune = lambda record: bool(asked.append(record))  # type: ignore[func-returns-value, method-assign]
    assert not searcher.should_stop("a", {"record": grown}) and not searcher.should_stop("a", moved)
    assert asked == [grown]
    searcher.on_trial_result("a", moved)
    searcher.on_trial_complete("a", error=True)
    assert seen.events == [("started", 0), ("epoch 1", 0), ("failed", 0)]
    assert [(one.curve, one.progress) for one in ledger.list_attempts("search")] == [(grown.curve, None)]


@pytest.mark.parametrize(
    ("deadline", "seconds", "begins"),
    [(None, 1e9, ""), (2.0, 7199, ""), (2.0, 7200, "it ran longer than cluster.deadline = 2 hours: ")],
)
def test_a_trial_that_ran_too_long_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deadline: float | None, seconds: float, begins: str
) -> None:
    """Its process ended itself after the deadline, and the reason says so; one that died before has another."""
    config = sweep(tmp_path, search={"trials": 1})
    own = config.model_copy(update={"cluster": config.cluster.model_copy(update={"deadline": deadline})})
    ledger, _, searcher = searching(own)
    record = searcher.suggest("a")["record"]
    monkeypatch.setattr("sweep.cluster.searcher.now", lambda: record.started + seconds)
    searcher.on_trial_complete("a", error=True)
    assert ledger.list_records()[0].reason == f"{begins}a was killed"
    assert searcher.suggest("b")["record"].index == 0


def test_a_trial_that_lags_is_over_where_it_is_stopped(tmp_path: Path) -> None:
    """As Tune asks: whether to stop comes before the result, and completion after; the last point is shown too."""
    ledger, seen, searcher = searching(sweep(tmp_path, search={"trials": 2, "stop": "asha"}))
    grown = {}
    for trial, forget in (("a", 0.4), ("b", 0.5)):
        record = searcher.suggest(trial)["record"]
        grown[trial] = {"record": replace(record, curve=[{"epoch": 2, **sides(forget, 1.0)}])}
    assert not searcher.should_stop("a", grown["a"])
    searcher.on_trial_result("a", grown["a"])
    assert searcher.should_stop("b", grown["b"])
    searcher.on_trial_complete("b", grown["b"])
    last = {"record": finished(grown["a"]["record"])}
    assert not searcher.should_stop("a", last)
    searcher.on_trial_result("a", last)
    assert not searcher.should_stop("a", last)  # Tune repeats the last report.
    assert [(r.state, r.reason, len(r.curve)) for r in ledger.list_records()] == [
        ("finished", "", 1),
        ("pruned", "pruned by ASHA after epoch 2", 1),
    ]
    assert seen.events[2:] == [("epoch 2", 0), ("epoch 2", 1), ("pruned", 1), ("finished", 0)]


def test_a_trial_that_breaks_has_failed_and_is_not_stopped(tmp_path: Path) -> None:
    """It went on from epoch 2, another overtook it there, then it broke: to be run again, not pruned."""
    ledger, _, searcher = searching(sweep(tmp_path, search={"trials": 2, "stop": "asha"}))
    grown = {}
    for trial, forget in (("a", 0.5), ("b", 0.4)):
        record = searcher.suggest(trial)["record"]
        grown[trial] = replace(record, curve=[{"epoch": 2, **sides(forget, 1.0)}])
        assert not searcher.should_stop(trial, {"record": grown[trial]})
    broken = {"record": replace(grown["a"], state="failed", reason="it broke")}
    assert not searcher.should_stop("a", broken)
    searcher.on_trial_result("a", broken)
    assert (ledger.list_records()[0].state, ledger.list_records()[0].reason) == ("failed", "it broke")
