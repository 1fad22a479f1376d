"""Forget quality and membership inference against values worked out by hand."""

from math import comb, log10

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.forget_quality import MIN_LOG10, floored_log10, forget_quality
from eval.metrics.membership_inference import ATTACKS, auc, mean_of_lowest, privacy_leak, score_attacks
from eval.models.forward import DistributionStatistics

NUMBERS = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=8)


def test_ks_of_separate_samples() -> None:
    """3 against 3, all apart: 2 of the C(6, 3) = 20 orders are as extreme, p = 1/10."""
    assert forget_quality([1, 2, 3], [4, 5, 6]) == pytest.approx(1 / 10)


def test_ks_of_overlapping_samples() -> None:
    """1 3 against 2 4: the distance is 1/2, which every order of two and two reaches: p = 1."""
    assert forget_quality([1, 3], [2, 4]) == pytest.approx(1)


def test_ks_of_the_same_sample(recwarn: pytest.WarningsRecorder) -> None:
    """No distance: p = 1, and nothing is printed."""
    assert forget_quality([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert not recwarn.list


def test_ks_of_400_against_400() -> None:
    """All apart: p = 2 / C(800, 400), about 1e-239, as TOFU's forget10 reaches it; its logarithm is exact."""
    p = forget_quality([float(i) for i in range(400)], [float(i) for i in range(400, 800)])
    assert floored_log10(p) == pytest.approx(log10(2) - log10(comb(800, 400)), abs=1e-6)


def test_logarithm_has_a_floor() -> None:
    """A p-value that underflowed to 0, or is below 1e-300, has −300; 1e-3 has −3; 1 has 0."""
    assert floored_log10(0.0) == floored_log10(5e-324) == MIN_LOG10 == -300
    assert floored_log10(1e-3) == pytest.approx(-3)
    assert floored_log10(1.0) == 0


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [
        ([3, 4], [1, 2], 1.0),
        ([1, 2], [3, 4], 0.0),
        ([1, 3], [2, 4], 1 / 4),  # of four pairs only 3 > 2
        ([1, 2], [1, 2], 1 / 2),  # one above, one below, two ties
        ([5], [5, 5, 5], 1 / 2),
        ([2], [1, 2, 3, 3], 3 / 8),  # one above, a tie, two below: 1.5 of 4
    ],
)
def test_auc_by_hand(members: list[float], others: list[float], expected: float) -> None:
    """Pairs in which the member is above, ties half."""
    assert auc(members, others) == pytest.approx(expected)


@given(NUMBERS, NUMBERS)
def test_auc_is_the_share_of_pairs(members: list[float], others: list[float]) -> None:
    """The definition, taken literally; exchanging the sides gives the rest to 1."""
    pairs = [(a > b) + (a == b) / 2 for a in members for b in others]
    assert auc(members, others) == pytest.approx(sum(pairs) / len(pairs))
    assert auc(others, members) == pytest.approx(1 - auc(members, others))


def test_lowest_forty_per_cent() -> None:
    """Of five the two lowest (−4 − 3)/2; of one and of two the lowest; rows do not mix."""
    values = torch.tensor([-1.0, -4.0, -2.0, -3.0, -1.0, -7.0, -1.0, -5.0])
    row = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2])
    assert mean_of_lowest(values, row).tolist() == pytest.approx([-3.5, -7, -5])


def test_scores_by_hand() -> None:
    """Tokens of ln p −1, −3 with mean −2, −1 and deviation 2, 1/2: (−1 + 2)/2 = .5 and (−3 + 1)/.5 = −4."""
    said = DistributionStatistics(
        row=torch.tensor([0, 0]),
        logp=torch.tensor([-1.0, -3.0]),
        hit=torch.tensor([True, False]),
        mean=torch.tensor([-2.0, -1.0]).double(),
        deviation=torch.tensor([2.0, 0.5]).double(),
    )
    found = {attack: values.tolist() for attack, values in score_attacks(said).items()}
    assert found == {"loss": [-2.0], "min_k": [-3.0], "min_k_plus_plus": [-4.0]}
    assert tuple(found) == ATTACKS


def test_privacy_leak_by_hand() -> None:
    """MUSE's sign: as the retain model 0; known by heart −100; AUC 1/4 beside 1/2: (3/4)/(1/2) − 1 = +50 %."""
    assert privacy_leak(0.5, 0.5) == 0
    assert privacy_leak(1.0, 0.5) == -100
    assert privacy_leak(0.25, 0.5) == pytest.approx(50)
