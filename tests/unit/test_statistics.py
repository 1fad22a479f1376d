"""Paired differences and verdicts, against numbers worked out by hand."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from support import toys
from support.trials import PAPER, races, repeats, sweep_of, trial
from sweep.config.schema import SweepConfig
from sweep.records import Setting
from sweep.results.statistics import (
    TIED,
    PairedDifference,
    compare_pairs,
    compare_shared_seeds,
    summarize_finalists,
    summarize_race,
)

GOOD: Setting = {"alpha": 1.0, "beta": 2.0}
OTHER: Setting = {"alpha": 2.0, "beta": 3.0}

scores = st.floats(0, 1)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=8)


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """The toy sweep of WTNPO."""
    return toys.config(tmp_path)


def test_three_pairs_by_hand() -> None:
    """Gaps 1, 2, 3: mean 2, standard error 1/sqrt(3); t(.975, 2) = 4.30265, so that 2 +- 2.48414 holds 0."""
    gap = compare_pairs([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    assert (gap.mean, gap.pairs) == (2.0, 3)
    assert gap.error == pytest.approx(0.5773503, abs=1e-6)
    assert [gap.low, gap.high] == pytest.approx([-0.4841376, 4.4841376], abs=1e-5)
    assert gap.half_width == pytest.approx(2.4841376, abs=1e-5)
    assert gap.is_tied


def test_four_pairs_by_hand() -> None:
    """Gaps .1, .2, .3, .2: mean .2, sd sqrt(.02/3) = .0816497, error .0408248; t(.975, 3) = 3.18245: .2 +- .129923."""
    gap = compare_pairs([0.1, 0.1, 0.1, 0.1], [0.2, 0.3, 0.4, 0.3])
    assert [gap.low, gap.high] == pytest.approx([0.070077, 0.329923], abs=1e-5)
    assert not gap.is_tied


def test_pairing_removes_what_the_seeds_share() -> None:
    """The scores of a setting differ by 1 from seed to seed, the gaps not at all: the interval is the gap itself."""
    gap = compare_pairs([0.0, 1.0, 2.0], [0.5, 1.5, 2.5])
    assert (gap.low, gap.mean, gap.high) == (0.5, 0.5, 0.5)


def test_one_pair_says_nothing() -> None:
    """Without a spread no winner can be named."""
    gap = compare_pairs([0.0], [1.0])
    assert gap.mean == 1.0
    assert math.isnan(gap.error)
    assert gap.is_tied
    assert (gap.p_value, gap.half_width) == (1.0, math.inf)


def test_p_of_two_pairs_by_hand() -> None:
    """Gaps 1, 3: mean 2, error 1, so t = 2 with one degree of freedom (Cauchy): p = 1 - (2/π) atan 2 = 0.295167."""
    assert compare_pairs([0.0, 0.0], [1.0, 3.0]).p_value == pytest.approx(1 - 2 / math.pi * math.atan(2))


def test_p_without_a_spread() -> None:
    """Settings that never differ are as alike as can be, those that always differ by the same are not."""
    assert compare_pairs([0.5, 0.25], [0.5, 0.25]).p_value == 1.0
    assert compare_pairs([0.5, 0.25], [1.0, 0.75]).p_value == 0.0


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=8))
def test_p_is_that_of_the_paired_t_test(drawn: list[tuple[float, float]]) -> None:
    """As SciPy has it, where the gaps differ by more than rounding; it is below 5 % where the interval leaves out 0."""
    ours, others = [a for a, _ in drawn], [b for _, b in drawn]
    gap = compare_pairs(ours, others)
    if gap.error > 1e-6:
        assert gap.p_value == pytest.approx(float(ttest_rel(others, ours).pvalue), abs=1e-9)
        assert (gap.p_value < 0.05) == (not gap.is_tied) or gap.p_value == pytest.approx(0.05)


@given(pairs)
def test_who_is_compared_with_whom_only_turns_the_sign(drawn: list[tuple[float, float]]) -> None:
    """The interval of (a, b) is that of (b, a), mirrored, and it holds the mean."""
    ours, others = [a for a, _ in drawn], [b for _, b in drawn]
    there, back = compare_pairs(ours, others), compare_pairs(others, ours)
    assert there.mean == pytest.approx(-back.mean)
    assert [there.low, there.high] == pytest.approx([-back.high, -back.low])
    assert there.low <= there.mean <= there.high


def test_ranked_by_score_then_index_and_only_what_finished(config: SweepConfig) -> None:
    """A failed trial, a running one and a repeat have no rank."""
    records = [
        trial(3, GOOD, 0.2),
        trial(1, OTHER, 0.2),
        trial(2, PAPER, 0.1, state="failed"),
        trial(4, PAPER, 0.0, state="running"),
        trial(0, PAPER, 0.0, phase="finalist"),
        trial(5, PAPER, 0.1),
    ]
    assert [record.index for record in sweep_of(config, records).ranking] == [5, 1, 3]


def test_finalists_against_the_best(config: SweepConfig) -> None:
    """GOOD leads the search. The paper's gaps are .1, .2, .3 (0.2 +- .25: tied)."""
    records = [trial(0, PAPER, 0.5), trial(1, OTHER, 0.4), trial(2, GOOD, 0.3)]
    records += repeats(0, PAPER, 0.2, 0.3, 0.4) + repeats(3, GOOD, 0.1, 0.1, 0.1)
    paper, good = summarize_finalists(sweep_of(config, records[::-1]))
    assert (paper.label, good.label) == ("rank 3 = paper", "best")
    assert (paper.verdict, good.verdict) == (TIED, "")
    assert paper.scores == {1: 0.2, 2: 0.3, 3: 0.4}
    assert [paper.mean, paper.std] == pytest.approx([0.3, 0.1])
    assert good.difference is None


def test_the_winner_may_lose_on_report_seeds(config: SweepConfig) -> None:
    """Then the paper's setting is the one that is named: gaps -.4 and -.4."""
    records = [trial(0, PAPER, 0.3), trial(1, GOOD, 0.1), *repeats(0, PAPER, 0.1, 0.2), *repeats(2, GOOD, 0.5, 0.6)]
    paper, good = summarize_finalists(sweep_of(config, records))
    assert (paper.label, paper.verdict, good.label) == ("rank 2 = paper", "rank 2 = paper", "best")


def test_only_shared_seeds_are_paired(config: SweepConfig) -> None:
    """The run on seed 2 failed for the paper's: two pairs are left, of gap .1 and .3."""
    records = [trial(0, PAPER, 0.2), trial(1, GOOD, 0.1), *repeats(3, GOOD, 0.1, 0.2, 0.3)]
    one, two, three = repeats(0, PAPER, 0.2, 0.0, 0.6)
    failed = trial(two.index, PAPER, 0.0, phase="finalist", seed=2, state="failed", metrics={})
    difference = summarize_finalists(sweep_of(config, [*records, one, failed, three]))[0].difference
    assert difference == compare_pairs([0.1, 0.3], [0.2, 0.6])
    assert isinstance(difference, PairedDifference)
    assert difference.pairs == 2


def test_scores_by_seed_are_paired_where_both_have_one() -> None:
    """Seeds 2 and 3; the order in which they were run says nothing."""
    assert compare_shared_seeds({3: 0.3, 1: 0.1, 2: 0.2}, {2: 0.5, 3: 0.4, 9: 1.0}) == compare_pairs(
        [0.2, 0.3], [0.5, 0.4]
    )
    assert compare_shared_seeds({1: 0.1}, {2: 0.2}) is None


def test_best_and_the_trial_of_a_setting(config: SweepConfig) -> None:
    """The lowest score; of two trials of one setting the better."""
    records = [trial(0, GOOD, 0.3), trial(1, OTHER, 0.2), trial(2, GOOD, 0.1, state="pruned"), trial(3, GOOD, 0.25)]
    sweep = sweep_of(config, records)
    assert (sweep.best, sweep.find_search_trial(GOOD)) == (records[1], records[3])
    assert (sweep_of(config, []).best, sweep.find_search_trial(PAPER)) == (None, None)


def test_the_search_did_not_find_what_it_was_handed(config: SweepConfig) -> None:
    """The paper's setting as trial 0 has the best score, the next best diverged: OTHER is what was found."""
    records = [trial(0, PAPER, 0.1), trial(1, GOOD, 0.2, reason="loss is not finite"), trial(2, OTHER, 0.3)]
    assert (sweep_of(config, records).found, sweep_of(config, records).best) == (OTHER, records[2])
    alone = sweep_of(config, records[:2])
    assert (alone.found, alone.best) == (None, records[0])


def test_the_search_found_what_it_asked_again(config: SweepConfig) -> None:
    """The paper's setting as trial 3 is the search's own idea; and so is trial 0 where it is another setting."""
    records = [trial(0, PAPER, 0.1), trial(1, OTHER, 0.3), trial(3, PAPER, 0.1)]
    assert sweep_of(config, records).found == PAPER
    assert sweep_of(config, [trial(0, GOOD, 0.1), records[1]]).found == GOOD


def test_a_grid_is_handed_nothing(tmp_path: Path) -> None:
    """The paper's setting is a point of it, at whatever place."""
    grid = toys.config(tmp_path, search={"sampler": "grid"})
    assert sweep_of(grid, [trial(0, PAPER, 0.1), trial(1, OTHER, 0.3)]).found == PAPER


def test_the_race_chooses_the_best(tmp_path: Path) -> None:
    """GOOD leads the search by .1; over two race seeds OTHER's mean is .25, GOOD's .35: OTHER is the best."""
    config = toys.config(tmp_path, search={"race": 4})
    records = [trial(0, PAPER, 0.5), trial(1, GOOD, 0.1), trial(2, OTHER, 0.2)]
    records += races(config, GOOD, 0.3, 0.4) + races(config, OTHER, 0.2, 0.3)
    sweep = sweep_of(config, records)
    assert (sweep.found, sweep.best) == (OTHER, records[2])
    assert [(one.label, one.scores) for one in summarize_race(sweep)] == [
        ("best", {2**20: 0.2, 2**20 + 1: 0.3}),
        ("rank 1", {2**20: 0.3, 2**20 + 1: 0.4}),
    ]


def test_repeats_without_a_search(config: SweepConfig) -> None:
    """All of the search failed, but the paper's setting was repeated: nothing to compare it with."""
    (paper,) = summarize_finalists(sweep_of(config, [trial(0, GOOD, 0.1, state="failed"), *repeats(0, PAPER, 0.2)]))
    assert (paper.label, paper.difference, paper.verdict, paper.mean) == ("paper", None, "", 0.2)
    assert math.isnan(paper.std)
