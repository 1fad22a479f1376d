"""The score's rule on curves whose answer is known by hand, and against a full scan."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.calibrated_score import (
    Calibration,
    ExtractionStrengths,
    calibrate_score,
    extraction_strengths,
    take_lower,
)

REFERENCE = ExtractionStrengths(forget=1.0, retain=1.0)


def straight(m: float) -> ExtractionStrengths:
    """Both sides fall in a straight line: forget 1 − m, retain 1 − m/2."""
    return ExtractionStrengths(forget=1 - m, retain=1 - m / 2)


def test_what_the_score_is_made_of() -> None:
    """The mean of both kinds of ES; exact ES alone where one side lacks the other kind: (.5 + .25) / 2 = .375."""
    exact, other = {"forget/es": 0.5, "retain/es": 0.75}, {"forget/es_paraphrase": 0.25}
    assert extraction_strengths(exact | other | {"retain/es_paraphrase": 0.25}) == (0.375, 0.5)
    assert extraction_strengths(exact | other) == extraction_strengths(exact) == (0.5, 0.75)


def test_straight_line() -> None:
    """Retain ≥ .95 where m ≤ .1: no m of the grid keeps it; below the grid 6/64 = .09375 is the last that does."""
    found = calibrate_score(straight, REFERENCE, 0.95, ())
    assert (found.mix, found.score) == (6 / 64, 1 - 6 / 64)
    assert found.evaluations == 8 + 3


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
    """Where the retained share falls with m, m* is the full 1/64 scan's."""

    def evaluate(m: float) -> ExtractionStrengths:
        place = round(m * 64) - 1
        return ExtractionStrengths(forget[place] / 1000, retain[place] / 1000)

    full = max((m / 64 for m in range(1, 65) if evaluate(m / 64).retain >= tau), default=0.0)
    found = calibrate_score(evaluate, REFERENCE, tau, (0.4, 0.6, 0.8, 0.9))
    assert found.mix == full
    assert found.score == (evaluate(full).forget if full > 0 else 1.0)
    assert found.evaluations <= 12


def test_a_curve_that_crosses_below_the_grid() -> None:
    """Retain 1 − .6 m: .95 is kept until m = 1/12, so m* = 5/64; at .94 and .93 m is .1 and .7/6, forget .9 − m."""
    found = calibrate_score(
        lambda m: ExtractionStrengths(0.9 - m, 1 - 0.6 * m), ExtractionStrengths(0.9, 1.0), 0.95, (0.93, 0.94)
    )
    assert (found.mix, found.score) == (5 / 64, 0.9 - 5 / 64)
    assert [tau for tau, _ in found.curve] == [0.93, 0.94, 0.95]
    assert [score for _, score in found.curve] == pytest.approx([0.9 - 0.7 / 6, 0.8, 0.9 - 5 / 64])


def test_a_neighbour_does_not_contradict_the_main_level() -> None:
    """At .951 the line gives forget .902, below the bisected .90625 of .95; a higher τ cannot score lower."""
    assert dict(calibrate_score(straight, REFERENCE, 0.95, (0.951,)).curve) == {0.95: 1 - 6 / 64, 0.951: 1 - 6 / 64}


TAUS = (0.4, 0.6, 0.8, 0.9, 0.95, 1.0)
ES = st.integers(0, 1000).map(lambda n: n / 1000)
CURVE = st.lists(st.builds(ExtractionStrengths, forget=ES, retain=ES), min_size=64, max_size=64)
UNKNOWN = st.builds(ExtractionStrengths, forget=ES, retain=st.just(math.nan))
BROKEN_CURVE = st.lists(st.builds(ExtractionStrengths, forget=ES, retain=ES) | UNKNOWN, min_size=64, max_size=64)


def read_table(curve: list[ExtractionStrengths], tau: float) -> int:
    """Return m* · 64 as the score's definition names it, from the whole table of ES at m = 1/64, 2/64, …, 1."""
    keeps = [True, *(found.retain >= tau for found in curve)]
    eighth = next(k for k in range(64, -1, -8) if keeps[k])
    for step in (4, 2, 1) if eighth < 64 else ():
        eighth += step if keeps[eighth + step] else 0
    return eighth


@given(curve=CURVE, tau=st.sampled_from(TAUS))
def test_any_curve_is_read_by_scan_and_bisection(curve: list[ExtractionStrengths], tau: float) -> None:
    """Where retain ES rises and falls, m* is what scan and bisection name in the whole table, and it keeps τ."""
    found = calibrate_score(lambda m: curve[round(m * 64) - 1], REFERENCE, tau, TAUS)
    place = read_table(curve, tau)
    chosen = curve[place - 1] if place else REFERENCE
    assert (found.mix, found.score) == (place / 64, chosen.forget)
    assert chosen.retain >= tau
    assert found.evaluations <= 12


@given(curve=BROKEN_CURVE, tau=st.sampled_from(TAUS))
def test_the_score_never_rises_as_tau_falls(curve: list[ExtractionStrengths], tau: float) -> None:
    """On any curve, with NaN among the retain ES: finite, never higher at a lower τ, and the score at the main τ."""
    found = calibrate_score(lambda m: curve[round(m * 64) - 1], REFERENCE, tau, TAUS)
    scores = [score for _, score in found.curve]
    assert [level for level, _ in found.curve] == sorted(TAUS)
    assert all(map(math.isfinite, scores))
    assert scores == sorted(scores)
    assert dict(found.curve)[tau] == found.score


def test_retain_that_is_not_finite_keeps_nothing() -> None:
    """NaN from 4/8 upwards: .8 is first kept at 3/8, whose neighbour above is unknown, so nothing is interpolated."""

    def evaluate(m: float) -> ExtractionStrengths:
        return ExtractionStrengths(1 - m, math.nan if m >= 0.5 else 1.0)

    found = calibrate_score(evaluate, REFERENCE, 0.95, (0.8,))
    assert found.mix == 31 / 64
    assert dict(found.curve) == {0.8: 1 - 31 / 64, 0.95: 1 - 31 / 64}


def test_the_lower_of_two_models_by_hand() -> None:
    """A second model with forget ES .3 keeps .9 of retain ES 1: it counts at .8 and .9, and not at .95."""
    found = Calibration(score=0.5, mix=0.25, curve=((0.8, 0.2), (0.9, 0.4), (0.95, 0.5)), evaluations=9)
    unmixed, reference = ExtractionStrengths(forget=0.3, retain=0.9), ExtractionStrengths(forget=1.0, retain=1.0)
    lower = take_lower(found, 0.95, unmixed, reference)
    assert (lower.score, lower.mix, lower.curve) == (0.5, 0.25, ((0.8, 0.2), (0.9, 0.3), (0.95, 0.5)))
    at_nine = take_lower(replace(found, score=0.4), 0.9, unmixed, reference)
    assert (at_nine.score, at_nine.mix) == (0.3, 1.0)
