"""Paired differences and verdicts, against numbers worked out by hand."""

import math
from pathlib import Path
from typing import Any

import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st

from sweep.comparison import TIED, Difference, finalists, paired, ranked
from sweep.config import SweepConfig
from sweep.record import Record, Setting

PAPER: Setting = {"alpha": 1.5, "beta": 7.0}
"""WTNPO for forget10, which stands in for the toy sweep."""
GOOD: Setting = {"alpha": 1.0, "beta": 2.0}
OTHER: Setting = {"alpha": 2.0, "beta": 3.0}

scores = st.floats(0, 1)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=8)


def trial(index: int, setting: Setting, score: float, **fields: Any) -> Record:
    """A finished search trial."""
    default: dict[str, Any] = {"phase": "search", "seed": 0, "state": "finished", "metrics": {"score": score}}
    return Record(index=index, setting=setting, **default | fields)


def repeats(first: int, setting: Setting, *values: float) -> list[Record]:
    """A finalist's scores on seeds 1, 2, ..."""
    return [trial(first + i, setting, v, phase="finalist", seed=1 + i) for i, v in enumerate(values)]


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """The toy sweep of WTNPO."""
    return toys.config(tmp_path)


def test_three_pairs_by_hand() -> None:
    """Gaps 1, 2, 3: mean 2, standard error 1/sqrt(3); t(.975, 2) = 4.30265, so that 2 +- 2.48414 holds 0."""
    gap = paired([1.0, 1.0, 1.0], [2.0, 3.0, 4.0])
    assert (gap.mean, gap.pairs) == (2.0, 3)
    assert gap.error == pytest.approx(0.5773503, abs=1e-6)
    assert [gap.low, gap.high] == pytest.approx([-0.4841376, 4.4841376], abs=1e-5)
    assert gap.tied


def test_four_pairs_by_hand() -> None:
    """Gaps .1, .2, .3, .2: mean .2, sd sqrt(.02/3) = .0816497, error .0408248; t(.975, 3) = 3.18245: .2 +- .129923."""
    gap = paired([0.1, 0.1, 0.1, 0.1], [0.2, 0.3, 0.4, 0.3])
    assert [gap.low, gap.high] == pytest.approx([0.070077, 0.329923], abs=1e-5)
    assert not gap.tied


def test_pairing_removes_what_the_seeds_share() -> None:
    """The scores of a setting differ by 1 from seed to seed, the gaps not at all: the interval is the gap itself."""
    gap = paired([0.0, 1.0, 2.0], [0.5, 1.5, 2.5])
    assert (gap.low, gap.mean, gap.high) == (0.5, 0.5, 0.5)


def test_one_pair_says_nothing() -> None:
    """Without a spread no winner can be named."""
    gap = paired([0.0], [1.0])
    assert gap.mean == 1.0
    assert math.isnan(gap.error)
    assert gap.tied


@given(pairs)
def test_who_is_compared_with_whom_only_turns_the_sign(drawn: list[tuple[float, float]]) -> None:
    """The interval of (a, b) is that of (b, a), mirrored, and it holds the mean."""
    ours, others = [a for a, _ in drawn], [b for _, b in drawn]
    there, back = paired(ours, others), paired(others, ours)
    assert there.mean == pytest.approx(-back.mean)
    assert [there.low, there.high] == pytest.approx([-back.high, -back.low])
    assert there.low <= there.mean <= there.high


def test_ranked_by_score_then_index_and_only_what_finished() -> None:
    """A failed trial, a running one and a repeat have no rank."""
    records = [
        trial(3, GOOD, 0.2),
        trial(1, OTHER, 0.2),
        trial(2, PAPER, 0.1, state="failed"),
        trial(4, PAPER, 0.0, state="running"),
        trial(0, PAPER, 0.0, phase="finalist"),
        trial(5, PAPER, 0.1),
    ]
    assert [record.index for record in ranked(records)] == [5, 1, 3]


def test_finalists_against_the_best(config: SweepConfig) -> None:
    """GOOD leads the search. The paper's gaps are .1, .2, .3 (0.2 +- .25: tied), OTHER's .5, .5, .6 (.53 +- .14)."""
    records = [trial(0, PAPER, 0.5), trial(1, OTHER, 0.4), trial(2, GOOD, 0.3)]
    records += repeats(0, PAPER, 0.2, 0.3, 0.4) + repeats(3, GOOD, 0.1, 0.1, 0.1) + repeats(6, OTHER, 0.6, 0.6, 0.7)
    paper, good, other = finalists(config, records[::-1])
    assert (paper.label, good.label, other.label) == ("rank 3 = paper", "best", "runner-up")
    assert (paper.verdict, good.verdict, other.verdict) == (TIED, "", "best")
    assert paper.scores == {1: 0.2, 2: 0.3, 3: 0.4}
    assert [paper.mean, paper.std] == pytest.approx([0.3, 0.1])
    assert good.difference is None


def test_the_best_of_the_search_may_lose_on_fresh_seeds(config: SweepConfig) -> None:
    """Then the other setting is the one that is named."""
    records = [trial(0, GOOD, 0.1), trial(1, OTHER, 0.2), *repeats(0, GOOD, 0.5, 0.6), *repeats(2, OTHER, 0.1, 0.2)]
    assert finalists(config, records)[1].verdict == "runner-up"


def test_only_shared_seeds_are_paired(config: SweepConfig) -> None:
    """The repeat on seed 2 failed for OTHER: two pairs are left, of gap .1 and .3."""
    records = [trial(0, GOOD, 0.1), trial(1, OTHER, 0.2), *repeats(0, GOOD, 0.1, 0.2, 0.3)]
    one, two, three = repeats(3, OTHER, 0.2, 0.0, 0.6)
    failed = trial(two.index, OTHER, 0.0, phase="finalist", seed=2, state="failed", metrics={})
    difference = finalists(config, [*records, one, failed, three])[1].difference
    assert difference == paired([0.1, 0.3], [0.2, 0.6])
    assert isinstance(difference, Difference)
    assert difference.pairs == 2


def test_repeats_without_a_search(config: SweepConfig) -> None:
    """All of the search failed, but the paper's setting was repeated: nothing to compare it with."""
    (paper,) = finalists(config, [trial(0, GOOD, 0.1, state="failed"), *repeats(0, PAPER, 0.2)])
    assert (paper.label, paper.difference, paper.verdict, paper.mean) == ("paper", None, "", 0.2)
    assert math.isnan(paper.std)
