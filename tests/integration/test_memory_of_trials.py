"""What a trial leaves alive: no second model, no optimizer after the training, nothing that grows with the trials."""

import gc
import resource
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import torch
from transformers import PreTrainedModel

from objectives.npo import NPO
from objectives.wtnpo import WTNPO
from support.toys import config, dataset
from sweep.config import SweepConfig
from sweep.trial import makers
from sweep.unlearning.artifacts import Artifacts, plan
from sweep.unlearning.run import Session, run, search_suite, session

PRECISIONS = ("float32", "master", "kahan")


def alive(kind: type) -> WeakSet[Any]:
    """The objects of a kind; nothing is collected first, so what only waits for that counts too.

    Held weakly and not as ids: an object may get the id of one that is gone.
    """
    return WeakSet(thing for thing in gc.get_objects() if issubclass(type(thing), kind))


def models(here: Session) -> WeakSet[Any]:
    """The models of a session: the one it trains, and the part of it that is one too."""
    return WeakSet(module for module in here.model.modules() if isinstance(module, PreTrainedModel))


def tensor_bytes() -> int:
    """Bytes of all tensors that Python can reach, storages counted once."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def prepared(storage: Path, precision: str) -> tuple[SweepConfig, Artifacts]:
    """The toy sweep with its artifacts made."""
    sweep = config(storage, train={"precision": precision})
    artifacts = plan(sweep, dataset())
    for maker in makers(sweep, dataset(), artifacts):
        list(maker())
    return sweep, artifacts


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_optimizer_is_gone_before_the_scoring(precision: str, tmp_path: Path) -> None:
    """While a trial trains there is one; when its weights are scored there is none, and no gradient."""
    sweep, artifacts = prepared(tmp_path, precision)
    gc.collect()
    before, while_scored = alive(torch.optim.Optimizer), []

    def look(here: Session) -> dict[str, float]:
        while_scored.append((len(alive(torch.optim.Optimizer) - before), [p.grad for p in here.model.parameters()]))
        return {}

    trial = run(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, look)
    next(trial)
    model = session(sweep, artifacts).model
    assert len(alive(torch.optim.Optimizer) - before) == 1
    assert all(p.grad is None for p in model.parameters()), "an evaluation in between needs no gradient either"
    list(trial)
    assert while_scored == [(0, [None] * len(list(model.parameters())))]


def test_a_trial_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """Closed after its first epoch: no optimizer, no gradient."""
    sweep, artifacts = prepared(tmp_path, "float32")
    gc.collect()
    before = alive(torch.optim.Optimizer)
    trial = run(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, search_suite)
    next(trial)
    trial.close()
    assert not alive(torch.optim.Optimizer) - before
    assert all(p.grad is None for p in session(sweep, artifacts).model.parameters())


def test_a_broken_step_leaves_no_gradient(tmp_path: Path) -> None:
    """An error in the backward pass, as of a card that is full, leaves none to the next trial."""
    sweep, artifacts = prepared(tmp_path, "float32")
    model = session(sweep, artifacts).model

    def fail(gradient: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    handle = next(model.parameters()).register_hook(fail)
    with pytest.raises(MemoryError):
        list(run(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, search_suite))
    handle.remove()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_second_model_is_alive(precision: str, tmp_path: Path) -> None:
    """At every point of a trial, and while it is scored, the models that it brought are the one it trains."""
    sweep, artifacts = prepared(tmp_path, precision)
    gc.collect()
    before = alive(PreTrainedModel)
    here = session(sweep, artifacts)
    trial = run(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, search_suite)
    assert [alive(PreTrainedModel) - before == models(here) for _ in trial] == [True] * 5


def test_another_model_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """A worker whose next trial needs another model lets go of the one it has."""
    first, second = (prepared(tmp_path, precision) for precision in ("master", "kahan"))
    gone = models(session(*first))
    assert session(*first) is session(*first)
    assert gone
    session(*second)
    assert not gone


def test_fifty_trials_take_no_more_than_two(tmp_path: Path) -> None:
    """Bytes of all live tensors, and the most that the process ever had, after 50 trials within 5 % of after 2."""
    sweep, artifacts = prepared(tmp_path, "kahan")
    tensors, process = [], []
    for seed in range(50):
        objective = NPO(beta=0.5) if seed % 2 else WTNPO(alpha=1.0, beta=1.0)
        list(run(sweep, artifacts, objective, seed, search_suite))
        tensors.append(tensor_bytes())
        process.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert tensors[49] == pytest.approx(tensors[1], rel=0.05)
    assert process[49] <= 1.05 * process[1]
