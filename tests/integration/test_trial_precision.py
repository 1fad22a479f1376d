"""Whole trials in each precision: what they find, what a reset and a mix give back, and the kernel of the attention."""

from collections.abc import Iterator

import pytest
import torch

from objectives.wtnpo import WTNPO
from support.targets import FULL, Prepared, Toy
from support.toys import dataset
from sweep.prepare.artifacts import locate_artifacts
from sweep.training.precision import WEIGHT_DTYPES
from sweep.training.weights import snapshot_weights
from sweep.trial.outcomes import EpochResult, TrialItem, TrialOutcome
from sweep.trial.session import get_session
from sweep.trial.unlearn import measure_full_suite, run_unlearning


@pytest.fixture(scope="module", params=["float32", "master", "kahan"])
def toy(request: pytest.FixtureRequest, prepared: Prepared) -> Toy:
    """The toy sweep in one precision with its artifacts, the retain model among them."""
    return prepared(request.param, eval=FULL)


def outcome(found: Iterator[TrialItem]) -> TrialOutcome:
    """How a trial ended."""
    *_, last = found
    assert isinstance(last, TrialOutcome)
    return last


def test_a_trial_in_each_precision(toy: Toy) -> None:
    """The target knows its rows, the trial forgets, all metrics can be had, and a warm worker repeats every bit."""
    sweep, artifacts = toy
    first = outcome(run_unlearning(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_full_suite))
    assert get_session(sweep, artifacts).reference_metrics["forget/es"] == 1.0 > first.metrics["forget/es"]
    assert first.metrics.keys() >= {"score", "forget/rouge_l", "forget_quality"}
    assert outcome(run_unlearning(sweep, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_full_suite)) == first


def test_reset_mix_and_snapshot(toy: Toy) -> None:
    """A reset restores every bit; a mix is taken in float32 and rounded once; all in the precision's own type."""
    sweep, artifacts = toy
    here = get_session(sweep, artifacts)
    here.target_weights.reset(here.model)
    target, dtype = snapshot_weights(here.model), WEIGHT_DTYPES[sweep.train.precision]
    assert {weight.dtype for weight in target.values()} == {dtype}
    unlearned = {name: (weight.float() + 0.37).to(dtype) for name, weight in target.items()}
    here.target_weights.mix(here.model, unlearned, 0.3)
    for name, parameter in here.model.named_parameters():
        exact = 0.7 * target[name].double() + 0.3 * unlearned[name].double()
        # Half a step of the type that it is rounded to; float32's own steps on the way.
        assert torch.allclose(parameter.double(), exact, rtol=torch.finfo(dtype).eps / 2, atol=1e-7), name
    here.target_weights.reset(here.model)
    assert all(torch.equal(p, target[name]) for name, p in here.model.named_parameters())


def test_attention_changes_little(toy: Toy) -> None:
    """The plain formula gives nearly the same loss as PyTorch's kernel; it is another session, not another artifact."""
    sweep, artifacts = toy
    plain = sweep.model_copy(update={"train": sweep.train.model_copy(update={"attention": "eager"})})
    assert locate_artifacts(plain, dataset()) == artifacts
    points = [
        next(iter(run_unlearning(one, artifacts, WTNPO(alpha=1.0, beta=1.0), 0, measure_full_suite)))
        for one in (sweep, plain)
    ]
    losses = [point.metrics["loss"] for point in points if isinstance(point, EpochResult)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4 if sweep.train.precision == "float32" else 0.2, abs=1e-3)
    assert get_session(plain, artifacts).model.config._attn_implementation == "eager"
