"""Precision, attention and checkpointing of a training: what is held, computed, lost and refused."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import optimi
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import OPTConfig, OPTForCausalLM, PreTrainedModel

from eval.models.forward import find_blocks, hidden_states, label_logp
from eval.models.logits import head_of
from eval.rows.encode import collate
from objectives._base import Objective
from objectives.rmu import RMU
from objectives.wtnpo import WTNPO
from support.toys import config, encoded, llama
from sweep.config import train_rules
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.training import reference
from sweep.training.loop import Schedule, checkpoint_layers, train_steps
from sweep.training.loss_terms import build_terms, nll_parts, sum_kl
from sweep.training.precision import COMPUTE_DTYPES, WEIGHT_DTYPES, apply_precision, build_optimizer, check_attention
from sweep.training.reference import TrainingRows, copy_frozen_head
from sweep.training.weights import snapshot_weights

PRECISIONS = ("float32", "master", "kahan")
ROWS = encoded((3, 2), (2, 5), (4, 1), (6, 2))
ASKED = TrainingRows(forget=ROWS, refusals=ROWS, retain=ROWS, min_length=0)
BATCH = collate(ROWS, torch.device("cpu"))


def schedule(checkpointing: bool = False, clip: float | None = 1.0, epochs: int = 1) -> Schedule:
    """As many steps as epochs, each over all rows, the learning rate's peak after the first."""
    return Schedule(
        n_rows=4,
        n_epochs=epochs,
        batch_size=4,
        lr=1e-2,
        warmup_from=0,
        weight_decay=0.0,
        max_grad_norm=clip,
        checkpointing=checkpointing,
    )


def gradients(model: PreTrainedModel) -> list[torch.Tensor]:
    """The gradient of the answers' cross-entropy."""
    model.zero_grad()
    (part,) = nll_parts(model, ROWS, [0, 1, 2, 3], 8192)
    part.backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


# The optimizer


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_compensated_adamw_is_adamw(decay: float) -> None:
    """On float32 weights, where nothing is to be compensated, ten steps are those of PyTorch (1e-6)."""
    torch.manual_seed(0)
    start = torch.randn(40)
    pair = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    ours = optimi.AdamW([pair[0]], 1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay)
    theirs = torch.optim.AdamW([pair[1]], 1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay)
    for _ in range(10):
        gradient = torch.randn(40)
        for weight, optimizer in zip(pair, (ours, theirs), strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    assert torch.allclose(pair[0], pair[1], rtol=0, atol=1e-6)
    assert not torch.allclose(pair[0], start, atol=1e-2)


def test_small_updates_add_up() -> None:
    """Steps of 1e-5 from 1.0, each below half of bfloat16's step there (2^-9): 1,000 of them make 0.99, not 1.0."""
    model = apply_precision(llama(), "kahan")
    plain = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    ours, theirs = build_optimizer(model, 1e-5, 0.0), torch.optim.AdamW([plain], lr=1e-5, weight_decay=0.0)
    for _ in range(1000):
        # A constant gradient: AdamW moves by the learning rate, whatever the gradient's size.
        for parameter in chain(model.parameters(), [plain]):
            parameter.grad = torch.ones_like(parameter)
        ours.step()
        theirs.step()
    assert plain.tolist() == [1.0] * 3
    assert all(torch.all((p.float() - 0.99).abs() <= 2**-8) for p in model.parameters())


def test_kahan_follows_float32() -> None:
    """By the same gradients, 125 steps of at most 1e-5: weights and what rounding took make 99 % of AdamW's update."""
    torch.manual_seed(0)
    model = apply_precision(llama(), "kahan")
    starts = [parameter.detach().float() for parameter in model.parameters()]
    exact = [torch.nn.Parameter(start.clone()) for start in starts]
    directions = [torch.randn_like(start) for start in starts]
    ours, theirs = build_optimizer(model, 1e-5, 0.0), torch.optim.AdamW(exact, lr=1e-5, weight_decay=0.0)
    for _ in range(125):
        for parameter, float32, direction in zip(model.parameters(), exact, directions, strict=True):
            parameter.grad = (direction + torch.randn_like(direction)).bfloat16()
            float32.grad = parameter.grad.float()
        ours.step()
        theirs.step()
    kept = [parameter.detach().float() + ours.state[parameter]["kahan_comp"] for parameter in model.parameters()]
    error, update = (
        torch.cat([(one - other).flatten() for one, other in zip(ends, others, strict=True)]).norm()
        for ends, others in ((kept, exact), (exact, starts))
    )
    assert float(error.detach()) < 0.01 * float(update.detach())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_gradient_is_clipped_by_its_global_norm(precision: str) -> None:
    """Before the step all gradients together have the norm that is allowed; the step tells what it was (1 %)."""
    model = apply_precision(llama(), precision)
    norm = float(torch.stack([g.double().norm() for g in gradients(model)]).norm())
    model.zero_grad()
    seen: list[float] = []

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        seen.append(float(torch.stack([grad.double().norm() for grad in grads]).norm()))

    handle = register_optimizer_step_pre_hook(look)
    (step,) = train_steps(model, schedule(clip=norm / 3), [nll_parts(model, ROWS, [0, 1, 2, 3], 8192)])
    handle.remove()
    assert float(step.grad_norm) == pytest.approx(norm, rel=0.01)
    assert seen == [pytest.approx(norm / 3, rel=0.01)]


# What is held and computed


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_gradients_and_arithmetic(precision: str) -> None:
    """Weights and gradients in one type, layers and head in the other, log-probabilities in float32 always."""
    model = apply_precision(llama(), precision)
    seen: list[torch.dtype] = []
    layer = find_blocks(model)[0].get_submodule("self_attn.q_proj")
    layer.register_forward_hook(lambda _, args, out: seen.append(out.dtype))
    hidden = hidden_states(model, BATCH)[BATCH.row, BATCH.position]
    assert seen == [COMPUTE_DTYPES[precision]] and head_of(model)(hidden).dtype == COMPUTE_DTYPES[precision]
    assert label_logp(head_of(model), hidden, BATCH.label).dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {g.dtype for g in gradients(model)} == {WEIGHT_DTYPES[precision]}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}


def test_float32_is_untouched() -> None:
    """`ready` changes no bit and wraps nothing."""
    model, same = llama(), apply_precision(llama(), "float32")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert not any("forward" in vars(module) for module in same.modules())


@pytest.mark.parametrize("precision", ["master", "kahan"])
def test_bfloat16_gives_nearly_the_same_gradient(precision: str) -> None:
    """Its direction is float32's (cosine above 0.99)."""
    exact, rough = (
        torch.cat([g.flatten().float() for g in gradients(apply_precision(llama(), p))]) for p in ("float32", precision)
    )
    assert float(torch.nn.functional.cosine_similarity(exact, rough, dim=0)) > 0.99


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_copy_of_the_head_computes_with_its_own_weights(precision: str) -> None:
    """The reference's head stays what it was when the model's moves, and says then what the model's did."""
    model = apply_precision(llama(), precision)
    hidden = hidden_states(model, BATCH)[0].detach()
    before = head_of(model)(hidden).detach().clone()
    copy = copy_frozen_head(head_of(model), COMPUTE_DTYPES[precision])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(copy(hidden.to(COMPUTE_DTYPES[precision])), before)
    assert not any(parameter.requires_grad for parameter in copy.parameters())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_cache_loses_nothing(precision: str, tmp_path: Path) -> None:
    """From stored states the reference has the live model's log-probabilities (1e-6), and no KL to itself."""
    model = apply_precision(llama(), precision)
    reference.write_reference(tmp_path, model, ASKED, COMPUTE_DTYPES[precision])
    said = reference.read_reference(tmp_path, model, ASKED)
    assert {hidden.dtype for hidden in (*said.retain, *said.forget.hidden)} == {COMPUTE_DTYPES[precision]}
    hidden = hidden_states(model, BATCH)
    states, stored = hidden[BATCH.row, BATCH.position], torch.cat(said.forget.hidden)
    live = label_logp(head_of(model), states, BATCH.label)
    assert torch.allclose(label_logp(said.head, stored, BATCH.label), live, rtol=0, atol=1e-6)
    assert torch.allclose(torch.cat(said.forget.logp), live, rtol=0, atol=1e-6)
    assert float(sum_kl(head_of(model), states, said.head, stored).detach()) == pytest.approx(0.0, abs=1e-4)


def test_half_the_bytes(tmp_path: Path) -> None:
    """In bfloat16 the stored states take half."""
    sizes = []
    for precision in ("float32", "kahan"):
        folder = tmp_path / precision
        folder.mkdir()
        reference.write_reference(folder, apply_precision(llama(), precision), ASKED, COMPUTE_DTYPES[precision])
        said = reference.read_reference(folder, llama(), ASKED)
        sizes.append(sum(hidden.nbytes for hidden in said.retain))
    assert sizes[0] == 2 * sizes[1]


# Checkpointing


@pytest.mark.parametrize("objective", [WTNPO(alpha=1.0, beta=1.0), RMU(layer=1, c=2.0, normalize=False)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_checkpointing_changes_no_step(precision: str, objective: Objective, tmp_path: Path) -> None:
    """The same loss and the same weights after two steps, whether layers are computed twice or not."""
    found = []
    for checkpointing in (False, True):
        model = apply_precision(llama(), precision)
        reference.write_reference(tmp_path, model, ASKED, COMPUTE_DTYPES[precision])
        said = reference.read_reference(tmp_path, model, ASKED)
        forget, retain = build_terms(config(tmp_path), objective, 0, model, ASKED, said)
        parts = (chain(forget.loss_parts(model, [0, 1]), retain.loss_parts(model, [2, 3])) for _ in range(2))
        steps = [step.loss for step in train_steps(model, schedule(checkpointing, epochs=2), parts)]
        found.append((steps, snapshot_weights(model)))
    (plain, weights), (again, same) = found
    assert plain == again
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_checkpointing_computes_layers_twice() -> None:
    """In evaluation mode too: each layer runs twice for a gradient, once without; afterwards all is as before."""
    model = llama()
    ran: list[int] = []
    mlps = [layer.get_submodule("mlp") for layer in find_blocks(model)]
    for i, mlp in enumerate(mlps):
        mlp.register_forward_pre_hook(lambda *_, i=i: ran.append(i))
    with checkpoint_layers(model):
        gradients(model)
        assert sorted(ran) == [0, 0, 1, 1]
        with torch.no_grad():
            hidden_states(model, BATCH)
        assert sorted(ran) == [0, 0, 0, 1, 1, 1]
    gradients(model)
    assert len(ran) == 8 and not model.training
    assert not any("forward" in vars(layer) for layer in find_blocks(model))


def test_checkpointing_turns_no_dropout_on() -> None:
    """OPT drops half of its activations in training mode, where transformers' own checkpointing would put it."""
    torch.manual_seed(0)
    architecture = OPTConfig(
        vocab_size=300,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        dropout=0.5,
    )
    model = OPTForCausalLM(architecture)
    model.eval()
    plain = [gradient.clone() for gradient in gradients(model)]
    with checkpoint_layers(model):
        assert all(torch.equal(a, b) for a, b in zip(plain, gradients(model), strict=True))


# What is refused


def flash(**cluster: object) -> Callable[[Path, str], SweepConfig]:
    """A sweep with flash attention on such a cluster."""

    def made(storage: Path, precision: str) -> SweepConfig:
        sweep = config(storage, train={"attention": "flash_attention_2", "precision": precision})
        return sweep.model_copy(update={"cluster": sweep.cluster.model_copy(update=cluster)})

    return made


def test_flash_attention_is_refused_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, without a GPU, and without its package; of a running cluster only its workers can say that."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(train_rules, "find_spec", lambda _: None)
    for sweep, why in (
        (flash(gpus=1.0)(tmp_path, "float32"), "train.precision = 'float32' must be master or kahan"),
        (flash(gpus=0.0)(tmp_path, "kahan"), "cluster.gpus = 0 must be above 0"),
        (flash(gpus=0.5)(tmp_path, "master"), "package flash-attn"),
    ):
        with pytest.raises(ConfigError, match=why):
            train_rules.validate_training(sweep)
    train_rules.validate_training(flash(gpus=1.0, address="head:6379")(tmp_path, "kahan"))
    with pytest.raises(ConfigError, match="this worker"):
        check_attention("flash_attention_2")


def test_a_weight_decay_that_would_be_lost_is_refused(tmp_path: Path) -> None:
    """bfloat16 weights cannot shrink by 1e-5 of themselves; a target that is made elsewhere needs none."""
    sweep = config(tmp_path, train={"precision": "kahan"})
    decayed = sweep.target.model_copy(update={"weight_decay": 0.01})
    with pytest.raises(ConfigError, match=r"weight_decay = 0\.01 must be 0"):
        train_rules.validate_training(sweep.model_copy(update={"target": decayed}))
    train_rules.validate_training(sweep.model_copy(update={"target": decayed.model_copy(update={"path": "tuned"})}))
