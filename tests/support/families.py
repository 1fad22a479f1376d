"""Walk a small model of any family through all that a sweep does with it: save, load, train, reset, mix, score."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from eval.models.checkpoint import load_model
from eval.models.forward import has_known_logits, label_statistics
from objectives._base import Objective
from objectives.dpo import DPO
from objectives.rmu import RMU
from objectives.undial import UNDIAL
from objectives.wtnpo import WTNPO
from support.toys import config, encoded, tokenizer
from sweep.training.loss_terms import build_terms
from sweep.training.reference import TrainingRows, read_reference, write_reference
from sweep.training.weights import TargetWeights, save_model, snapshot_weights

ROWS = TrainingRows(
    forget=encoded((3, 2), (2, 5)), refusals=encoded((3, 4), (2, 2)), retain=encoded((2, 3), (5, 2)), min_length=0
)
OBJECTIVES: tuple[Objective, ...] = (
    WTNPO(alpha=0.5, beta=0.3),  # ref_logp
    UNDIAL(beta=1.0),  # logits and ref_logits
    RMU(layer=1, c=2.0, normalize=False),  # hidden and direction
    DPO(beta=0.5),  # refusal
)
"""An objective of each kind of `needs`."""
LARGE = 8.0
"""What random weights are multiplied by, so that probabilities differ clearly."""


def make_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Make a model with random weights."""
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(LARGE)
    return model


def check_family(model: PreTrainedModel, folder: Path) -> None:
    """Assert that a model can be a sweep's: every number is compared with transformers' own."""
    target, winner = folder / "target", folder / "winner"
    save_model(model, tokenizer(), target)
    loaded = load_model(target)
    assert_equal(loaded, model)
    check_numbers(loaded, folder)
    weights = TargetWeights(target)
    shift(loaded)
    unlearned = snapshot_weights(loaded)
    weights.mix(loaded, unlearned, 0.5)
    for name, parameter in model.named_parameters():
        half = torch.lerp(parameter, unlearned[name], 0.5)
        assert torch.equal(loaded.get_parameter(name), half), name
    save_model(loaded, tokenizer(), winner)
    assert_equal(AutoModelForCausalLM.from_pretrained(winner), loaded)
    weights.reset(loaded)
    assert_equal(loaded, model)


def check_numbers(model: PreTrainedModel, folder: Path) -> None:
    """Assert that evaluation, cached reference and losses are those of the model's own logits."""
    assert has_known_logits(model, ROWS.forget)
    slow = torch.stack([*answer_logp(model)])
    assert torch.allclose(label_statistics(model, ROWS.forget).logp, slow, atol=1e-4, rtol=1e-4)
    write_reference(folder, model, ROWS, torch.float32)
    reference = read_reference(folder, model, ROWS)
    assert torch.allclose(torch.cat(reference.forget.logp), slow, atol=1e-4, rtol=1e-4)
    own = config(folder)
    for objective in OBJECTIVES:
        forget, retain = build_terms(own, objective, 0, model, ROWS, reference)
        assert abs(float(sum(part.detach() for part in retain.loss_parts(model, [0, 1])))) < 1e-4
        sum(forget.loss_parts(model, [0, 1]), torch.zeros(())).backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)
        model.zero_grad()


@torch.no_grad()
def answer_logp(model: PreTrainedModel) -> Iterator[Tensor]:
    """Yield the log-probability of each answer token by the model's own logits, one row at a time."""
    for row in ROWS.forget:
        logits = model(input_ids=torch.tensor([row.inputs]), use_cache=False).logits[0].float()
        yield from logits.log_softmax(1)[range(row.start - 1, len(row.inputs)), row.labels]


@torch.no_grad()
def shift(model: PreTrainedModel) -> None:
    """Move all weights a little."""
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))


def assert_equal(found: PreTrainedModel, expected: PreTrainedModel) -> None:
    """Assert that two models have the same class, parameters and stored buffers, bit for bit."""
    assert type(found) is type(expected)
    ours, theirs = found.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
