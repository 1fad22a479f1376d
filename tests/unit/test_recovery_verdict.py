"""The verdict on the paper's setting: each of its words from numbers worked out by hand.

WTNPO on the toy model: alpha is searched from 0 to 5, beta from 0.25 to 10 on a log scale, a ratio of 40. The gaps of
the tuned setting above the found one over three seeds have an interval of 4.30265 standard errors to each side:
TIED .1, .2, .3: .2 ± .24841; CLEAR .5, .5, .6: .53333 ± .14342.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import toys
from support.trials import PAPER, repeats, sweep_of, trial
from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.results.recovery import Recovery, judge_recovery

NEAR: Setting = {"alpha": 1.9, "beta": 6.0}
"""0.4 / 5 = .08 and ln(7/6) / ln 40 = .041788 from the paper's."""
FAR: Setting = {"alpha": 2.1, "beta": 7.0}
"""0.6 / 5 = .12 from the paper's."""
TIED, CLEAR, SMALL = (0.1, 0.2, 0.3), (0.5, 0.5, 0.6), (0.004, 0.005, 0.006)
"""The last interval excludes 0, but a search with scores .5, .6, .7 can gain .1, and a tenth of it is .01."""


def sweep(found: Setting, gaps: Sequence[float]) -> list[TrialRecord]:
    """A search in which the paper's setting came first and `found` is the best other; then both on report seeds."""
    search = [trial(0, PAPER, 0.5), trial(1, {"alpha": 5.0, "beta": 0.25}, 0.7), trial(2, found, 0.6)]
    tuned = repeats(0, PAPER, *(0.3 + gap for gap in gaps))
    return [*search, *tuned, *repeats(len(gaps), found, *(0.3 for _ in gaps))]


def judged(config: SweepConfig, records: Sequence[TrialRecord]) -> Recovery:
    """The verdict, where there is one."""
    found = judge_recovery(sweep_of(config, records))
    assert found is not None
    return found


@pytest.fixture
def config(tmp_path: Path) -> SweepConfig:
    """The toy sweep of WTNPO."""
    return toys.config(tmp_path, seeds=3)


@pytest.mark.parametrize(
    ("found", "gaps", "verdict"),
    [
        (NEAR, TIED, "recovered"),
        (FAR, TIED, "within noise"),
        (FAR, CLEAR, "better found"),
        (NEAR, CLEAR, "better found"),
        (FAR, [-gap for gap in CLEAR], "not recovered"),
        (NEAR, [-gap for gap in CLEAR], "not recovered"),
        (FAR, [-gap for gap in TIED], "within noise"),
        (FAR, SMALL, "equivalent"),
        (NEAR, [-gap for gap in SMALL], "equivalent"),
    ],
)
def test_verdicts(config: SweepConfig, found: Setting, gaps: Sequence[float], verdict: str) -> None:
    """By distance and interval; a clear difference counts however near the settings are."""
    one = judged(config, sweep(found, gaps))
    assert (one.verdict, one.reason) == (verdict, "")
    assert (one.found, one.tuned) == (found, PAPER)


def test_evidence_by_hand(config: SweepConfig) -> None:
    """What was compared, how far apart the settings are, and the difference with its interval."""
    one = judged(config, sweep(NEAR, TIED))
    assert (one.objective, one.model, one.split) == ("wtnpo", "toy", "forget10")
    assert one.distance == {"alpha": pytest.approx(0.08), "beta": pytest.approx(0.041788, abs=1e-6)}
    assert one.difference is not None
    assert one.difference.mean == pytest.approx(0.2)
    assert [one.difference.low, one.difference.high] == pytest.approx([-0.048414, 0.448414], abs=1e-5)
    assert one.qualifiers == ["stand-in", "other recipe"]
    assert one.departures == [
        "train.epochs = 4, not 5",
        "train.warmup_from = 1, not 0",
        "train.batch = 2, not 16",
        'retain.reduction = "tokens", not "padded500"',
    ]


def test_the_sentence_names_the_better_one_and_the_interval(config: SweepConfig) -> None:
    """Both scores and found minus tuned: .3 is .533 lower than .833, or, with the signs turned, higher than -.233."""
    where = "(wtnpo on toy, forget10; stand-in, other recipe): alpha=2.1 beta=7 leaves 0.300 of the forget rows"
    assert judged(config, sweep(FAR, CLEAR)).sentence == (
        f"Better than the paper's setting {where} extractable at 95 % of retention, against 0.833 with alpha=1.5 beta=7"
        " (difference -0.533, 95 % interval [-0.677, -0.390], 3 seeds)."
    )
    assert judged(config, sweep(FAR, [-gap for gap in CLEAR])).sentence == (
        f"Not recovered, worse than the paper's setting {where} extractable at 95 % of retention, against -0.233 with"
        " alpha=1.5 beta=7 (difference +0.533, 95 % interval [+0.390, +0.677], 3 seeds)."
    )


def test_each_verdict_is_said_in_words(config: SweepConfig) -> None:
    """The sentence opens with it; what is too small to matter is explained."""
    assert judged(config, sweep(NEAR, TIED)).sentence.startswith("Recovered the paper's setting (wtnpo on toy, ")
    said = judged(config, sweep(FAR, SMALL)).sentence
    assert said.startswith("Equivalent to the paper's setting (")
    assert said.endswith(", 3 seeds); the difference is less than a tenth of what the search can gain.")


def test_a_tie_says_what_it_could_not_have_seen(config: SweepConfig) -> None:
    """Half the interval's width: three seeds hide a difference of up to .248 here."""
    said = judged(config, sweep(FAR, TIED)).sentence
    assert said.startswith("Within noise of the paper's setting (")
    assert " against 0.500 with alpha=1.5 beta=7 (difference -0.200, 95 % interval [-0.448, +0.048], 3 seeds)" in said
    assert said.endswith("; differences below 0.248 cannot be told from 0.")


@pytest.mark.parametrize(("gaps", "seeds"), [((), 0), ((0.5,), 1)])
def test_too_few_seeds_are_undecided(config: SweepConfig, gaps: Sequence[float], seeds: int) -> None:
    """However large the difference is on one seed, and however near the settings are."""
    one = judged(config, sweep(NEAR, gaps))
    assert one.verdict == "undecided"
    assert one.sentence.startswith("Undecided beside the paper's setting (")
    assert one.sentence.endswith(f": it takes 2 report seeds on which both settings finished, not {seeds}.")


def test_only_seeds_on_which_both_finished_count(config: SweepConfig) -> None:
    """Of the three of each, the paper's has no seed 1 and the found one no seed 2."""
    kept = [r for r in sweep(FAR, TIED) if (r.phase, r.setting, r.seed) != ("finalist", PAPER, 1)]
    kept = [r for r in kept if (r.phase, r.setting, r.seed) != ("finalist", FAR, 2)]
    one = judged(config, kept)
    assert (one.verdict, one.difference.pairs if one.difference else 0) == ("undecided", 1)


def test_a_search_that_came_to_nothing_by_itself(config: SweepConfig) -> None:
    """It ran the paper's setting, and all others diverged or failed."""
    records = [
        trial(0, PAPER, 0.5),
        trial(1, NEAR, 0.9, reason="the loss is not finite"),
        trial(2, FAR, 0.0, state="failed", metrics={}),
        *repeats(0, PAPER, 0.5, 0.5, 0.5),
    ]
    one = judged(config, records)
    assert (one.verdict, one.found, one.difference) == ("undecided", None, None)
    assert all(math.isnan(distance) for distance in one.distance.values())
    assert one.sentence.endswith("): the search came to no setting by itself.")


def test_the_tuned_setting_itself_is_recovered(config: SweepConfig) -> None:
    """The search asked it again, of its own: the same setting has the same scores, which needs no seeds."""
    for gaps in ((), (0.0, 0.0)):
        records = [*sweep(FAR, gaps), trial(3, PAPER, 0.5)]
        one = judged(config, records)
        assert (one.verdict, one.distance) == ("recovered", {"alpha": 0.0, "beta": 0.0})
        assert one.sentence.endswith("): the search came to the tuned alpha=1.5 beta=7 by itself.")


@pytest.mark.parametrize("objective", ["ga", "simnpo"])
def test_no_verdict_where_the_paper_tuned_nothing(config: SweepConfig, objective: str) -> None:
    """There is nothing to recover."""
    assert judge_recovery(sweep_of(config.model_copy(update={"objective": objective}), sweep(FAR, CLEAR))) is None


def test_no_verdict_where_nothing_is_searched(tmp_path: Path) -> None:
    """A setting that is run again alone is no search."""
    alone = toys.config(tmp_path, space={}, fixed=FAR)
    assert judge_recovery(sweep_of(alone, [trial(0, FAR, 0.5)])) is None


def test_a_value_that_is_fixed_elsewhere_is_not_recovered(tmp_path: Path) -> None:
    """Alpha is fixed at 2, not searched: beta may be near as can be, the setting is another."""
    config = toys.config(tmp_path, space={"beta": {"low": 0.25, "high": 10.0, "log": True}}, fixed={"alpha": 2.0})
    found: Setting = {"alpha": 2.0, "beta": 7.0}
    one = judged(config, [trial(1, found, 0.1), *repeats(0, PAPER, 0.4, 0.5), *repeats(2, found, 0.3, 0.3)])
    assert one.verdict == "within noise"
    assert math.isnan(one.distance["alpha"])
    assert one.distance["beta"] == 0.0


def beta_in(storage: Path, entry: dict[str, object], found: float) -> Recovery:
    """The verdict on a tie of WTNPO with alpha fixed at the paper's and beta, tuned to 7, searched in the entry."""
    config = toys.config(storage, space={"beta": entry}, fixed={"alpha": 1.5})
    own: Setting = {"alpha": 1.5, "beta": found}
    return judged(config, [trial(1, own, 0.1), *repeats(0, PAPER, 0.4, 0.5), *repeats(2, own, 0.3, 0.3)])


@pytest.mark.parametrize(
    ("entry", "found", "distance", "verdict"),
    [
        ({"low": 0.0, "high": 10.0}, 6.0, 0.1, "recovered"),
        ({"low": 0.0, "high": 10.0}, 5.75, 0.125, "within noise"),
        ({"low": 1.0, "high": 100.0, "log": True}, 70.0, 0.5, "within noise"),  # a factor of 10 of 100
        ({"low": 1.0, "high": 3.0}, 3.0, 2.0, "within noise"),  # the tuned value lies twice the range outside
        ({"low": 2.0, "high": 10.0, "step": 4.0}, 6.0, 0.125, "recovered"),  # of 2, 6 and 10 the nearest
        ({"low": 2.0, "high": 10.0, "step": 4.0}, 2.0, 0.625, "within noise"),
        ({"choices": [3.0, 7.0]}, 3.0, 1.0, "within noise"),
        ({"choices": [3.0, 7.0]}, 7.0, 0.0, "recovered"),
        ({"low": 5.0, "high": 5.0}, 5.0, math.inf, "within noise"),
    ],
)
def test_distance_is_a_share_of_what_is_searched(
    tmp_path: Path, entry: dict[str, object], found: float, distance: float, verdict: str
) -> None:
    """Linear, on a log scale, outside, with steps, of choices, and in a range without length."""
    one = beta_in(tmp_path, entry, found)
    assert one.distance["beta"] == pytest.approx(distance)
    assert one.verdict == verdict


values = st.fixed_dictionaries({"alpha": st.floats(0, 5), "beta": st.floats(0.25, 10)})


@given(values, st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=5), st.randoms())
def test_laws(found: Setting, gaps: list[float], random: Random) -> None:
    """The order of the records says nothing; inside the space no distance is above 1; turned gaps turn the verdict."""
    config = toys.config(Path("/nowhere"), seeds=5)
    records = sweep(found, gaps)
    one = judged(config, records)
    random.shuffle(records)
    assert judged(config, records) == one
    assert all(0 <= distance <= 1 for distance in one.distance.values())
    turned = {"better found": "not recovered", "not recovered": "better found"}
    other = judged(config, sweep(found, [-gap for gap in gaps]))
    assert other.verdict == turned.get(one.verdict, one.verdict)
