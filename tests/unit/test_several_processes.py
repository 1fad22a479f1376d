"""Several processes for a trial: how its rows are dealt to them, how many there are, and what is refused."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.shipped_configs import CONFIGS
from support.toys import encoded
from sweep.config import train_rules
from sweep.config.compose import load
from sweep.errors import ConfigError
from sweep.training import loss_terms
from sweep.training.distributed import balance_by_length
from sweep.training.loss_terms import plan_passes

WTNPO_CONFIG = CONFIGS / "wtnpo.yaml"

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=12)


@given(lengths, st.integers(1, 5))
def test_all_is_dealt_evenly(lengths: list[int], hands: int) -> None:
    """Each place once and in order; who holds most would hold least without one of its rows."""
    dealt = balance_by_length(lengths, hands)
    assert sorted(chain(*dealt)) == list(range(len(lengths)))
    assert all(hand == sorted(hand) for hand in dealt)
    held = [sum(lengths[place] for place in hand) for hand in dealt]
    most = max(range(hands), key=lambda i: held[i])
    assert held[most] - min(lengths[place] for place in dealt[most]) <= min(held)


@given(lengths, st.integers(1, 5), st.integers(1, 60))
def test_all_processes_make_as_many_passes(lengths: list[int], processes: int, tokens: int) -> None:
    """What counts is every chosen row once; what does not is a row of the batch."""
    rows = encoded(*((1, length) for length in lengths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_terms, "world_size", lambda: processes)
        found = []
        for rank in range(processes):
            patch.setattr(loss_terms, "rank", lambda rank=rank: rank)
            found.append(list(plan_passes(rows, range(len(rows)), tokens)))
    assert len({len(own) for own in found}) == 1
    counted = [i for own in found for group, weight in own for i in group if weight]
    assert sorted(counted) == list(range(len(rows)))
    assert {weight for own in found for _, weight in own} <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("typed", "processes"),
    [([], 1), (["cluster.processes=3"], 3), (["cluster=multi-gpu"], 2), (["cluster.gpus=0.5"], 1)],
)
def test_a_process_for_each_gpu(typed: list[str], processes: int) -> None:
    """Unless their number is given, where there is no GPU."""
    assert load(WTNPO_CONFIG, typed).cluster.processes == processes


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("cluster.gpus=1.5", "cluster.gpus = 1.5 must be a whole number"),
        ("cluster.gpus=2 cluster.processes=3", "cluster.processes = 3 must be 2 where cluster.gpus = 2"),
        ("cluster.gpus=0.5 cluster.processes=2", "cluster.processes = 2 must be 1 where cluster.gpus = 0.5"),
        ("train.parallel=fsdp", "train.parallel = 'fsdp' needs cluster.processes > 1 (it is 1); use ddp."),
        (
            "cluster=multi-gpu train.parallel=fsdp train.precision=kahan target.weight_decay=0",
            "train.parallel = 'fsdp' must be ddp where train.precision = 'kahan'",
        ),
    ],
)
def test_what_cannot_work_together_is_refused(typed: str, words: str) -> None:
    """One sentence, with the key."""
    with pytest.raises(ConfigError) as caught:
        train_rules.validate_training(load(WTNPO_CONFIG, typed.split()))
    assert str(caught.value).startswith(words)
