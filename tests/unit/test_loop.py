"""The stream of batches, the number of steps, and one step against plain PyTorch."""

import math
from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_linear_schedule_with_warmup

from support.toys import encoded, llama
from sweep.training import loop, loss_terms
from sweep.training.loop import Schedule, shuffled_batches, train_steps


def schedule(rows: int, epochs: int = 5, batch: int = 16, clip: float | None = None, warmup_from: int = 0) -> Schedule:
    """A schedule with a learning rate of 1e-2."""
    return Schedule(
        n_rows=rows,
        n_epochs=epochs,
        batch_size=batch,
        lr=1e-2,
        warmup_from=warmup_from,
        weight_decay=0.0,
        max_grad_norm=clip,
        checkpointing=False,
    )


@pytest.mark.parametrize(("rows", "steps"), [(40, 12), (200, 62), (400, 125)])
def test_steps_of_the_paper(rows: int, steps: int) -> None:
    """⌊5 · 40/16⌋ = 12, ⌊5 · 200/16⌋ = 62, ⌊5 · 400/16⌋ = 125 for forget01, 05, 10."""
    assert schedule(rows).n_steps == steps


def test_fewer_rows_than_a_batch() -> None:
    """One epoch of 3 rows in batches of 16 still takes one step, and warms up over one."""
    assert (schedule(3, epochs=1).n_steps, schedule(3, epochs=1).n_warmup_steps) == (1, 1)


@given(rows=st.integers(1, 60), epochs=st.integers(1, 6), batch=st.integers(1, 20))
def test_the_papers_rates_are_those_of_transformers(rows: int, epochs: int, batch: int) -> None:
    """Counted from 0, every step's rate is bit for bit that of the scheduler that the paper's code uses."""
    plan = schedule(rows, epochs, batch)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_linear_schedule_with_warmup(optimizer, plan.n_warmup_steps, plan.n_steps).lr_lambdas[0]
    assert [plan.scale_lr(i) for i in range(plan.n_steps)] == [theirs(i) for i in range(plan.n_steps)]


@given(rows=st.integers(1, 60), epochs=st.integers(1, 6), batch=st.integers(1, 20))
def test_every_step_moves_where_steps_count_from_1(rows: int, epochs: int, batch: int) -> None:
    """All rates are above 0, rise in equal parts to 1 at the end of the warm-up, and fall in equal parts after it."""
    plan = schedule(rows, epochs, batch, warmup_from=1)
    rates = [plan.scale_lr(i) for i in range(plan.n_steps)]
    up, down = rates[: plan.n_warmup_steps], [*rates[plan.n_warmup_steps - 1 :], 0.0]
    assert up == pytest.approx([(i + 1) / len(up) for i in range(len(up))])
    assert down == pytest.approx([1 - i / (len(down) - 1) for i in range(len(down))])
    assert min(rates) > 0


@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 1000))
def test_stream_is_whole_epochs_end_to_end(rows: int, batch: int, seed: int) -> None:
    """Laid end to end the batches are permutations: after k epochs every row has come k times."""
    flat = [i for chosen in islice(shuffled_batches(rows, batch, seed), 3 * rows) for i in chosen]
    for epoch in range(3):
        assert Counter(flat[epoch * rows : (epoch + 1) * rows]) == Counter(range(rows))


def test_stream_follows_its_seed() -> None:
    """The same seed gives the same order, another seed another."""
    first, again, other = (list(islice(shuffled_batches(50, 16, seed), 3)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("warmup_from", "factors"), [(0, (0, 1 / 2, 1, 1 / 2)), (1, (1 / 2, 1, 2 / 3, 1 / 3))])
def test_descend_equals_plain_pytorch(clip: float | None, warmup_from: int, factors: tuple[float, ...]) -> None:
    """Four steps by hand: AdamW, warm-up over ⌊4/2⌋ = 2 steps, whose first has the number 0 or 1, then decay."""
    rows, batches = encoded((3, 2), (2, 3), (4, 1), (2, 2)), [[0, 1], [2, 3], [1, 2], [3, 0]]
    ours, plain = llama(), llama()
    plan = schedule(4, epochs=2, batch=2, clip=clip, warmup_from=warmup_from)
    found = [
        step.loss for step in train_steps(ours, plan, (loss_terms.nll_parts(ours, rows, b, 8192) for b in batches))
    ]
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-2, weight_decay=0.0)
    expected = []
    for chosen, factor in zip(batches, factors, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * factor
        logp = [
            plain(input_ids=torch.tensor([rows[i].ids])).logits[0, at - 1].log_softmax(0)[rows[i].ids[at]]
            for i in chosen
            for at in range(rows[i].start, len(rows[i].ids))
        ]
        loss = -torch.stack(logp).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), math.inf if clip is None else clip)
        optimizer.step()
        expected.append(float(loss.detach()))
    assert found == pytest.approx(expected, rel=1e-4)
    assert all(torch.allclose(a, b, atol=2e-4) for a, b in zip(ours.parameters(), plain.parameters(), strict=True))


def test_any_split_gives_the_same_step() -> None:
    """One row a pass or all at once: the parts add up to the same loss and gradient."""
    rows, found = encoded((3, 2), (2, 5), (4, 1), (6, 2)), []
    for tokens in (1, 8192):
        model = llama()
        parts = list(loss_terms.nll_parts(model, rows, [0, 1, 2, 3], tokens))
        assert len(parts) == (4 if tokens == 1 else 1)
        torch.stack(parts).sum().backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((float(torch.stack(parts).sum().detach()), gradients))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize(("factor", "flaw"), [(1.0, ""), (1e38, "gradient"), (math.inf, "loss")])
def test_what_is_not_finite_is_named(factor: float, flaw: str) -> None:
    """A loss of 1e38 times a mean of some nats is finite, its gradient's norm is not; and infinity is not a loss."""
    model, rows = llama(), encoded((3, 2), (2, 3))
    part = next(loss_terms.nll_parts(model, rows, [0, 1], 8192))
    scaled = part / part.detach() * factor
    (step,) = train_steps(model, schedule(2, epochs=1, batch=2, clip=1.0), [[scaled]])
    assert step.non_finite_quantity == flaw
    assert all(parameter.grad is None for parameter in model.parameters())


def test_one_accelerator() -> None:
    """Its state is a singleton, so there is one a process."""
    assert loop.get_accelerator() is loop.get_accelerator()
