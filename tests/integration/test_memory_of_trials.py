"""What a trial leaves alive: no second model, no optimizer after the training, nothing that grows with the trials."""

import ctypes
import gc
import resource
from typing import Any, ClassVar
from weakref import WeakSet

import pytest
import torch
from transformers import PreTrainedModel

from eval.suite import SuiteReport
from objectives.npo import NPO
from objectives.wtnpo import WTNPO
from support.targets import Prepared
from sweep.trial.session import Session, get_session
from sweep.trial.unlearn import measure_search_suite, run_unlearning

PRECISIONS = ("float32", "master", "kahan")


@pytest.fixture(scope="module", autouse=True)
def only_ours() -> None:
    """What was there before is left out of all that `gc` looks through, which takes long where it is a lot."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has run no trial yet."""
    monkeypatch.setattr("sweep.trial.session._CACHED_SESSION", {})
    gc.collect()


def alive(kind: type) -> WeakSet[Any]:
    """The objects of a kind; nothing is collected first, so what only waits for that counts too.

    Held weakly and not as ids: an object may get the id of one that is gone.
    """
    return WeakSet(thing for thing in gc.get_objects() if issubclass(type(thing), kind))


def models(here: Session) -> WeakSet[Any]:
    """The models of a session: the one it trains, and the part of it that is one too."""
    return WeakSet(module for module in here.model.modules() if isinstance(module, PreTrainedModel))


def held() -> tuple[int, int, int]:
    """How many objects there are that Python collects, how many of them are tensors, and the bytes of those.

    A storage that tensors share is counted once.
    """
    gc.collect()
    things = gc.get_objects()
    tensors = [thing for thing in things if issubclass(type(thing), torch.Tensor)]
    sizes = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return len(things), len(tensors), sum(sizes.values())


def allocated() -> int:
    """Bytes that the C library has handed out, PyTorch's among them, whoever holds them; 0 where it does not tell."""

    class Told(ctypes.Structure):
        _fields_: ClassVar = [(f"field_{i}", ctypes.c_size_t) for i in range(10)]

    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = Told
    told = ask()
    return int(told.field_4 + told.field_7)  # in mappings of their own, and in the heap


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_optimizer_is_gone_before_the_scoring(precision: str, prepared: Prepared) -> None:
    """While a trial trains there is one; when its weights are scored there is none, and no gradient."""
    sweep, artifacts = prepared(precision)
    gc.collect()
    before, while_scored = alive(torch.optim.Optimizer), []

    def look(here: Session) -> SuiteReport:
        while_scored.append((len(alive(torch.optim.Optimizer) - before), [p.grad for p in here.model.parameters()]))
        return SuiteReport(metrics={}, rows={}, left_out={})

    trial = run_unlearning(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, look)
    next(trial)
    model = get_session(sweep, artifacts).model
    assert len(alive(torch.optim.Optimizer) - before) == 1
    assert all(p.grad is None for p in model.parameters()), "an evaluation in between needs no gradient either"
    list(trial)
    assert while_scored == [(0, [None] * len(list(model.parameters())))]


def test_a_trial_that_is_stopped_leaves_nothing(prepared: Prepared) -> None:
    """Closed after its first epoch: no optimizer, no gradient."""
    sweep, artifacts = prepared()
    gc.collect()
    before = alive(torch.optim.Optimizer)
    trial = run_unlearning(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_search_suite)
    next(trial)
    trial.close()
    assert not alive(torch.optim.Optimizer) - before
    assert all(p.grad is None for p in get_session(sweep, artifacts).model.parameters())


def test_a_broken_step_leaves_no_gradient(prepared: Prepared) -> None:
    """An error in the backward pass, as of a card that is full, leaves none to the next trial."""
    sweep, artifacts = prepared()
    model = get_session(sweep, artifacts).model

    def fail(gradient: torch.Tensor) -> torch.Tensor:
        raise MemoryError

    handle = next(model.parameters()).register_hook(fail)
    with pytest.raises(MemoryError):
        list(run_unlearning(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_search_suite))
    handle.remove()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_second_model_is_alive(precision: str, prepared: Prepared) -> None:
    """At every point of a trial, and while it is scored, the models that it brought are the one it trains."""
    sweep, artifacts = prepared(precision)
    gc.collect()
    before = alive(PreTrainedModel)
    here = get_session(sweep, artifacts)
    trial = run_unlearning(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_search_suite)
    assert [alive(PreTrainedModel) - before == models(here) for _ in trial] == [True] * 5


def test_another_model_takes_the_place_of_the_first(prepared: Prepared) -> None:
    """A worker whose next trial needs another model lets go of the one it has."""
    first, second = (prepared(precision) for precision in ("master", "kahan"))
    gone = models(get_session(*first))
    assert get_session(*first) is get_session(*first)
    assert gone
    get_session(*second)
    assert not gone


def test_nothing_grows_with_the_trials(prepared: Prepared) -> None:
    """Of ten trials none but the first two leaves anything: not one tensor, not one object each, no memory outside.

    The last four repeat seeds: new shapes of a batch make kernels, which PyTorch keeps.
    """
    toy = prepared("kahan")
    found, outside, process = [], [], []
    for seed in (0, 1, 2, 3, 4, 5, 4, 5, 4, 5):
        objective = NPO(beta=0.5) if seed % 2 else WTNPO(alpha=1.0, beta=1.0)
        list(run_unlearning(*toy, objective, seed, measure_search_suite))
        found.append(held())
        outside.append(allocated())
        process.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    objects, *_ = zip(*found, strict=True)
    assert [tensors for _, *tensors in found[2:]] == [[*found[1][1:]]] * 8
    assert objects[9] - objects[1] < 8
    assert min(outside[7] - outside[5], outside[9] - outside[7]) < 10_000, "the same two trials over again"
    assert process[9] <= 1.05 * process[1]
