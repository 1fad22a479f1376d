"""ASHA: which epochs compare trials, and who goes on, counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.search.asha import is_rung, should_prune


def trial(points: dict[int, float], state: TrialState = TrialState.PRUNED) -> FrozenTrial:
    """A trial with forget ES by epoch."""
    value = 0.0 if state == TrialState.COMPLETE else None
    return create_trial(
        state=state,
        value=value,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=points,
    )


@pytest.mark.parametrize(("epochs", "found"), [(1, []), (2, []), (5, [2]), (6, [2]), (20, [2, 6, 18])])
def test_rungs_triple_before_the_last_epoch(epochs: int, found: list[int]) -> None:
    """A trial that was trained to its end is scored, whatever it forgot."""
    assert [epoch for epoch in range(1, epochs + 1) if is_rung(epoch, epochs)] == found


def test_the_best_third_goes_on() -> None:
    """Of 6 with .1 to .6 the best 2 go on; of fewer than 6 only the best one, the first ever always."""
    six = [trial({1: value / 10}) for value in (3, 6, 1, 5, 2, 4)]
    assert [should_prune(value / 10, 1, six) for value in range(1, 7)] == [False, False, True, True, True, True]
    assert not should_prune(0.9, 1, [trial({1: 0.9})])
    assert should_prune(0.2, 1, six[:5])
    assert not should_prune(0.1, 1, six[:5])


def test_only_trials_at_the_same_epoch_count() -> None:
    """After epoch 3 a trial is compared with the one other that came so far, not with those stopped before."""
    others = [trial({1: 0.1}), trial({1: 0.4, 3: 0.3}, TrialState.COMPLETE)]
    assert should_prune(0.35, 3, [*others, trial({1: 0.2, 3: 0.35}, TrialState.RUNNING)])
    assert not should_prune(0.25, 3, [*others, trial({1: 0.2, 3: 0.25}, TrialState.RUNNING)])


def test_failed_attempts_do_not_count() -> None:
    """They are run again and would count twice: of .1 .2 .3 only .1 goes on, of six with three of .9 also .2."""
    three = [trial({1: value}) for value in (0.1, 0.2, 0.3)]
    assert should_prune(0.2, 1, [*three, *[trial({1: 0.9}, TrialState.FAIL)] * 3])
    assert not should_prune(0.2, 1, [*three, *[trial({1: 0.9})] * 3])


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_who_goes_on_is_among_the_best_third(scores: list[int]) -> None:
    """At most a third were better before a trial that goes on; the best so far always goes on."""
    for place, value in enumerate(scores):
        seen = [trial({1: float(score)}) for score in scores[: place + 1]]
        better = sum(score < value for score in scores[:place])
        assert should_prune(value, 1, seen) == (better >= max(1, (place + 1) // 3))
