"""Probability, truth ratio, exact memorisation and model utility against values worked out by hand."""

from math import e, exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval.definitions import DEFINITIONS
from eval.metrics.exact_memorization import exact_memorisation
from eval.metrics.model_utility import UTILITY_METRICS, model_utility
from eval.metrics.probability import mean_logp, probability, probability_share
from eval.metrics.truth_ratio import closeness_to_one, margin_below_one, truth_ratio
from eval.models.forward import LabelStatistics


def labels(*rows: list[float], hits: list[int] | None = None) -> LabelStatistics:
    """Labels of rows given by the probability of each token."""
    row = torch.tensor([i for i, p in enumerate(rows) for _ in p])
    logp = torch.tensor([log(p) for row in rows for p in row])
    return LabelStatistics(row=row, logp=logp, hit=torch.tensor(hits or [0] * len(row)).bool())


def logs(*values: float) -> torch.Tensor:
    """Logarithms, float64."""
    return torch.tensor(values, dtype=torch.float64).log()


def test_probability_is_the_geometric_mean() -> None:
    """√(1/2 · 1/8) = 1/4; one token keeps its own; ∛(1 · 1/27 · 1) = 1/3."""
    assert probability(labels([1 / 2, 1 / 8], [0.7], [1, 1 / 27, 1])).tolist() == pytest.approx([1 / 4, 0.7, 1 / 3])


def test_mean_logp_of_a_long_answer_of_tiny_probabilities() -> None:
    """300 tokens of e⁻⁵⁰ each: the mean is −50, though their product e⁻¹⁵⁰⁰⁰ is no float."""
    assert mean_logp(labels([exp(-50)] * 300)).tolist() == pytest.approx([-50])


def test_share_by_hand() -> None:
    """.2 / (.2 + .1 + .1) = 1/2; beside one wrong answer thrice as likely 1/4."""
    of = torch.tensor([0, 0, 1])
    assert probability_share(logs(0.2, 0.1), logs(0.1, 0.1, 0.3), of).tolist() == pytest.approx([1 / 2, 1 / 4])


def test_share_where_all_are_impossible() -> None:
    """e⁻⁵⁰⁰⁰ against two of the same: 1/3, not 0/0; e⁻⁵⁰⁰⁰ against e⁻¹: 0."""
    right = torch.tensor([-5000.0, -5000.0], dtype=torch.float64)
    wrong = torch.tensor([-5000.0, -5000.0, -1.0], dtype=torch.float64)
    assert probability_share(right, wrong, torch.tensor([0, 0, 1])).tolist() == pytest.approx([1 / 3, 0])


def test_truth_ratio_by_hand() -> None:
    """√(.1 · .4) / .4 = 1/2; with another number of wrong answers ∛(.1 · .1 · .8) / .1 = 2."""
    of = torch.tensor([0, 0, 1, 1, 1])
    assert truth_ratio(logs(0.4, 0.1), logs(0.1, 0.4, 0.1, 0.1, 0.8), of).tolist() == pytest.approx([1 / 2, 2])


def test_truth_ratio_stays_finite() -> None:
    """e¹⁰⁰⁰⁰ is cut to e⁷⁰⁰, e⁻¹⁰⁰⁰⁰ to e⁻⁷⁰⁰."""
    right, wrong = torch.tensor([-10001.0, -1.0]), torch.tensor([-1.0, -10001.0])
    assert truth_ratio(right.double(), wrong.double(), torch.tensor([0, 1])).log().tolist() == pytest.approx(
        [700, -700]
    )


def test_forms_of_the_truth_ratio() -> None:
    """R = 1/2, 1, 4: min(R, 1/R) = 1/2, 1, 1/4 and max(0, 1 − R) = 1/2, 0, 0."""
    ratio = torch.tensor([0.5, 1.0, 4.0])
    assert closeness_to_one(ratio).tolist() == [0.5, 1.0, 0.25]
    assert margin_below_one(ratio).tolist() == [0.5, 0.0, 0.0]


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=9))
def test_forms_stay_in_their_range(logarithms: list[float]) -> None:
    """For every R that can be: (0, 1] and [0, 1]."""
    ratio = torch.tensor(logarithms, dtype=torch.float64).exp()
    assert bool(((closeness_to_one(ratio) > 0) & (closeness_to_one(ratio) <= 1)).all())
    assert bool(((margin_below_one(ratio) >= 0) & (margin_below_one(ratio) <= 1)).all())


def test_exact_memorisation_counts_hits() -> None:
    """2 of 3, 0 of 1, 2 of 2: the order of hits plays no part."""
    found = exact_memorisation(labels([1, 1, 1], [1], [1, 1], hits=[1, 0, 1, 0, 1, 1]))
    assert found.tolist() == pytest.approx([2 / 3, 0, 1])


def test_model_utility_is_the_harmonic_mean() -> None:
    """Eight of 1/2 and one of 1/4: 9 / (8 · 2 + 4) = .45; a single 0 makes it 0; nine of the same are the same."""
    half = dict.fromkeys(UTILITY_METRICS, 1 / 2)
    assert model_utility(half) == pytest.approx(1 / 2)
    assert model_utility(half | {"world_facts/prob": 1 / 4}) == pytest.approx(0.45)
    assert model_utility(half | {"retain/rouge_l": 0.0}) == 0


def test_the_nine_are_metrics() -> None:
    """Three parts with three metrics each, all of which are defined."""
    assert len(set(UTILITY_METRICS)) == 9
    assert set(UTILITY_METRICS) <= DEFINITIONS.keys()


def test_probability_of_e() -> None:
    """One token of probability 1/e: its mean log-probability is −1."""
    assert mean_logp(labels([1 / e])).tolist() == pytest.approx([-1])
