"""The score's rule on curves whose answer is known by hand, and against a full scan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.calibrated_score import ExtractionStrengths, calibrate_score

REFERENCE = ExtractionStrengths(forget=1.0, retain=1.0)


def straight(m: float) -> ExtractionStrengths:
    """Both sides fall in a straight line: forget 1 − m, retain 1 − m/2."""
    return ExtractionStrengths(forget=1 - m, retain=1 - m / 2)


def test_straight_line() -> None:
    """Retain ≥ .95 where m ≤ .1: no m of the grid keeps it, so m* = 0 and the score is the reference's."""
    assert calibrate_score(straight, REFERENCE, 0.95, ()).mix == 0
    assert calibrate_score(straight, REFERENCE, 0.95, ()).score == 1.0


def test_bisection() -> None:
    """Retain ≥ .8 where m ≤ .4: the grid gives 3/8, above it 25/64 = .390625 is the last that keeps it."""
    found = calibrate_score(straight, REFERENCE, 0.8, ())
    assert found.mix == 25 / 64
    assert found.score == 1 - 25 / 64
    assert found.evaluations == 6 + 3  # 1, 7/8, 6/8, 5/8, 4/8, 3/8 and three bisections


def test_interpolation_of_the_other_levels() -> None:
    """Between 3/8 and 4/8 the retained share falls from .8125 to .75: .8 is a fifth of the way, forget 1 − .4."""
    curve = dict(calibrate_score(straight, REFERENCE, 0.9, (0.8,)).curve)
    assert curve[0.8] == pytest.approx(0.6)
    assert curve[0.9] == pytest.approx(1 - 12 / 64)


def test_below_the_grid() -> None:
    """Retain ≥ .95 lies between m = 0 (1.0) and 1/8 (.9375): at .8 of the way, m = .1, forget .9."""
    assert dict(calibrate_score(straight, REFERENCE, 0.4, (0.95,)).curve)[0.95] == pytest.approx(0.9)


def test_one_evaluation_where_nothing_is_lost() -> None:
    """A mix of 1 keeps every level: one evaluation, no mixing."""
    found = calibrate_score(lambda m: ExtractionStrengths(0.2, 1.0), REFERENCE, 0.95, (0.4, 0.6, 0.8, 0.9))
    assert (found.mix, found.score, found.evaluations) == (1.0, 0.2, 1)


def test_destroyed_model_gets_the_reference_forget() -> None:
    """A model that forgets everything on both sides gains nothing: score 1, the reference's."""
    found = calibrate_score(lambda m: ExtractionStrengths(0.0, 0.0), REFERENCE, 0.95, (0.4,))
    assert (found.mix, found.score) == (0.0, 1.0)


@given(
    retain=st.lists(st.integers(0, 1000), min_size=64, max_size=64).map(lambda xs: sorted(xs, reverse=True)),
    forget=st.lists(st.integers(0, 1000), min_size=64, max_size=64),
    tau=st.sampled_from([0.4, 0.6, 0.8, 0.9, 0.95, 1.0]),
)
def test_equals_a_full_scan(retain: list[int], forget: list[int], tau: float) -> None:
    """Where the retained share falls with m, m* is the full 1/64 scan's, or 0 where only m < 1/8 keeps τ."""

    def evaluate(m: float) -> ExtractionStrengths:
        place = round(m * 64) - 1
        return ExtractionStrengths(forget[place] / 1000, retain[place] / 1000)

    full = max((m / 64 for m in range(1, 65) if evaluate(m / 64).retain >= tau), default=0.0)
    found = calibrate_score(evaluate, REFERENCE, tau, (0.4, 0.6, 0.8, 0.9))
    assert found.mix == (full if full >= 1 / 8 else 0.0)
    assert found.score == (evaluate(full).forget if full >= 1 / 8 else 1.0)
    assert found.evaluations <= 12
