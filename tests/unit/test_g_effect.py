"""Gradient effects: by hand, against a step of SGD, and the laws of their sums."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from eval.g_effect import (
    Gradient,
    add_products,
    measure_effects,
    place_weights,
    stack_gradients,
    sum_thirds,
    take_gradient,
)
from eval.rows.encode import EncodedRow
from eval.rows.types import choose_evenly
from objectives._base import Objective
from objectives.ga import GA
from objectives.idk import IDK
from objectives.npo import NPO
from objectives.rmu import RMU
from objectives.tnpo import TNPO
from objectives.undial import UNDIAL
from objectives.wga import WGA
from objectives.wtnpo import WTNPO
from support.toys import config, encoded, llama
from sweep.config.model_schema import LoraConfig
from sweep.config.schema import GEffectConfig
from sweep.training import reference
from sweep.training.g_effect import GEffectProbe, MeasuredEffects, is_finite, summarize_weights
from sweep.training.lora import add_adapters, reset_adapters
from sweep.training.loss_terms import build_terms, nll_parts
from sweep.training.reference import TrainingRows

FORGET, HOLDOUT = encoded((3, 2), (2, 5), (6, 4), (4, 1)), encoded((5, 3), (2, 2), (4, 6))
ROWS = TrainingRows(forget=FORGET, refusals=encoded((3, 4), (2, 2), (6, 3), (4, 4)), retain=HOLDOUT, min_length=0)
OBJECTIVES = [
    GA(),
    WGA(alpha=2.0),
    NPO(beta=0.5),
    TNPO(beta=4.0),
    WTNPO(alpha=1.5, beta=5.0),
    RMU(layer=1, c=2.0, normalize=False),
    IDK(),
    UNDIAL(beta=3.0),
]
LAYER_AND_ROW = ("layer", "row")


@cache
def make_once() -> PreTrainedModel:
    """A small GPT-2: unlike a Llama, it computes in float64 throughout."""
    torch.manual_seed(0)
    shape = GPT2Config(vocab_size=300, n_positions=32, n_embd=32, n_layer=2, n_head=2, initializer_range=0.2)
    model = GPT2LMHeadModel(shape)
    model.eval()
    return model


def base(dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """A copy of the toy model."""
    model: Any = deepcopy(make_once())
    found: PreTrainedModel = model.to(dtype)
    return found


def moved(dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """The toy model after a step in a random direction, so that it is not the reference."""
    model = base(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return model


def build_probe(
    folder: Path,
    model: PreTrainedModel,
    objective: Objective,
    term: str = "kl",
    tokens: int = 8192,
    n: int = 16,
    by: Sequence[str] = LAYER_AND_ROW,
) -> GEffectProbe:
    """A probe of the toy rows, whose reference is the toy model as it is made."""
    dtype = next(model.parameters()).dtype
    reference.write_reference(folder, base(dtype), ROWS, dtype)
    sweep = config(folder, train={"tokens": tokens}, retain={"term": term, "weight": 0.7, "reduction": "tokens"})
    known = reference.read_reference(folder, base(dtype), ROWS)
    forget, retain = build_terms(sweep, objective, 0, model, ROWS, known)
    options = GEffectConfig.model_validate({"every": 1, "rows": n, "by": by})
    return GEffectProbe(forget=forget, retain=retain, n_retain=len(HOLDOUT), holdout=HOLDOUT, options=options)


def measured(folder: Path, model: PreTrainedModel, objective: Objective, **changes: Any) -> MeasuredEffects:
    """The effects at the model's weights."""
    return build_probe(folder, model, objective, **changes).measure_tensors(model)


def gradient_of(model: PreTrainedModel, value: Tensor) -> Gradient:
    """The gradient of a value, by torch.autograd."""
    named = dict(model.named_parameters())
    found = torch.autograd.grad(value, [*named.values()], allow_unused=True)
    return {name: grad for name, grad in zip(named, found, strict=True) if grad is not None}


class TwoWeights(nn.Module):
    """A model of two weights: a before the layers and b in the only layer."""

    def __init__(self) -> None:
        """Begin at a = 2, b = 5."""
        super().__init__()
        self.a = nn.Parameter(torch.tensor([2.0]))
        self.layers = nn.ModuleList([nn.ParameterList([torch.tensor([5.0])])])
        self.config = type("Config", (), {"num_hidden_layers": 1, "model_type": "toy"})
        self.device = torch.device("cpu")


def test_an_effect_by_hand() -> None:
    """Risks R = a·b and S = b²; loss L = a² + 3b, in two parts.

    At a = 2, b = 5: ∇R = (5, 2), ∇S = (0, 10), ∇L = (4, 3). So ⟨∇R, ∇L⟩ = 5·4 + 2·3 = 20 + 6, by weight, and
    ⟨∇S, ∇L⟩ = 0 + 10·3 = 30: a step −η ∇L lowers R by 26 η and S by 30 η. Of the loss 4b it is 2·4 and 10·4.
    """
    model: Any = TwoWeights()
    a, b = model.a, model.layers[0][0]
    risks = stack_gradients(
        [take_gradient(model, [risk.sum()], lambda own: own, lambda _: None) for risk in (a * b, b**2)]
    )
    losses = ([part.sum() for part in parts] for parts in ([a**2, 3 * b], [4 * b]))
    effects = measure_effects(model, risks, losses, lambda own: own)
    assert effects.tolist() == [[[20.0, 6.0], [0.0, 30.0]], [[0.0, 8.0], [0.0, 40.0]]]
    assert a.grad is None and b.grad is None


def test_weights_have_a_place() -> None:
    """Before the layers, in the n-th layer, behind them: the toy has tied weights, which lie before."""
    model = llama()
    places = place_weights(model)
    n = model.config.num_hidden_layers
    assert places["model.embed_tokens.weight"] == 0 and places["model.norm.weight"] == n + 1
    assert {place for name, place in places.items() if ".layers.1." in name} == {2}
    assert set(places.values()) == {*range(n + 2)}


@pytest.mark.parametrize(
    ("layers", "thirds"),
    [
        ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]),
        ([1.0, 2.0, 4.0, 8.0], [3.0, 4.0, 8.0]),
        ([1.0, 2.0], [1.0, 2.0, 0.0]),
        ([1.0], [1.0, 0.0, 0.0]),
    ],
)
def test_layers_fall_into_thirds(layers: list[float], thirds: list[float]) -> None:
    """Layer i of L belongs to third ⌊3 i / L⌋; embeddings and head stay apart."""
    assert [*sum_thirds([16.0, *layers, 32.0]).values()] == [16.0, *thirds, 32.0]


def test_a_product_is_exact() -> None:
    """In float64 also where float32 has lost the small one, and for a tensor of several chunks."""
    total = torch.tensor([0.0, 4.0], dtype=torch.float64)
    add_products(total, torch.tensor([[1e8, 1.0], [1.0, 2.0]]), torch.tensor([1.0, 1.0]))
    assert total.tolist() == [1e8 + 1, 7.0]
    ones = torch.ones(2**25, dtype=torch.bfloat16)
    add_products(total[:1].zero_(), ones[None], ones)
    assert total.tolist() == [2**25, 7.0]


def dot(one: Tensor, other: Tensor) -> Tensor:
    """The product of two tensors of equal shape."""
    return (one.double() * other.double()).sum()


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_an_effect_is_the_change_of_a_risk(objective: Objective, tmp_path: Path) -> None:
    """(R(θ) − R(θ − η ∇L)) / η comes to ⟨∇R, ∇L⟩, with an error that shrinks as η does; ∇L is autograd's own."""
    model = moved()
    probe = build_probe(tmp_path, model, objective)
    effects = probe.measure_tensors(model)
    loss = torch.stack([*probe.forget.loss_parts(model, range(len(FORGET)))]).sum()
    direction = gradient_of(model, loss)
    norm = float(sum(dot(grad, grad) for grad in direction.values())) ** 0.5
    for rows, expected in zip((FORGET, HOLDOUT), effects.objective.sum((0, 2)).tolist(), strict=True):
        errors = []
        for eta in (4e-4 / norm, 2e-4 / norm, 1e-4 / norm):
            risks = [risk_after(model, direction, step, rows) for step in (0.0, eta)]
            errors.append(abs((risks[0] - risks[1]) / eta - expected))
        assert errors[1] == pytest.approx(errors[0] / 2, rel=0.02)
        assert errors[2] == pytest.approx(errors[1] / 2, rel=0.02)


@torch.no_grad()
def risk_after(model: PreTrainedModel, direction: Gradient, eta: float, rows: Sequence[EncodedRow]) -> float:
    """The mean cross-entropy of the rows after a step of size eta against the direction, on a copy of the model."""
    moved_on = deepcopy(model)
    for name, weight in moved_on.named_parameters():
        weight.sub_(eta * direction.get(name, torch.zeros(())))
    return float(torch.stack([*nll_parts(moved_on, rows, range(len(rows)), 8192)]).sum())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_sums_equal_the_whole(objective: Objective, dtype: torch.dtype, tolerance: float, tmp_path: Path) -> None:
    """Over rows and over layers, for any micro-batches; the whole is the product of autograd's own gradients."""
    model = moved(dtype)
    by_row = measured(tmp_path, model, objective)
    assert by_row.objective.shape == (len(FORGET), 2, 4)
    together = measured(tmp_path, model, objective, by=())
    split = measured(tmp_path, model, objective, by=(), tokens=1)
    probe = build_probe(tmp_path, model, objective)
    loss = gradient_of(model, torch.stack([*probe.forget.loss_parts(model, range(len(FORGET)))]).sum())
    for i, rows in enumerate((FORGET, HOLDOUT)):
        risk = gradient_of(model, torch.stack([*nll_parts(model, rows, range(len(rows)), 8192)]).sum())
        whole = float(sum(dot(risk[name], grad) for name, grad in loss.items()))
        scale = float(sum(dot(g, g) for g in risk.values()) * sum(dot(g, g) for g in loss.values())) ** 0.5
        for found in (by_row, together, split):  # whatever rounds is small beside the product of the norms
            assert float(found.objective[:, i].sum()) == pytest.approx(whole, abs=tolerance * scale)
    assert all(weight.grad is None for weight in model.parameters())
    assert not any(weight._post_accumulate_grad_hooks for weight in model.parameters())


def test_the_retain_term_stands_apart(tmp_path: Path) -> None:
    """It has the effect of λ times its loss; without one there is none, and at the reference KL's is 0."""
    model = moved()
    nll = measured(tmp_path, model, GA(), term="nll").retain_term
    risk = [
        gradient_of(model, torch.stack([*nll_parts(model, rows, range(len(rows)), 8192)]).sum())
        for rows in (FORGET, HOLDOUT)
    ]
    expected = [0.7 * float(sum(dot(own[name], risk[1][name]) for name in own)) for own in risk]
    assert nll.sum(1).tolist() == pytest.approx(expected)
    assert expected[1] > 0  # training on the rows lowers their risk
    assert not measured(tmp_path, model, GA(), term="none").retain_term.any()
    assert measured(tmp_path, base(), GA()).retain_term.abs().max() < 1e-9 * expected[1]


def test_limits_of_the_objectives(tmp_path: Path) -> None:
    """WGA(0) is GA; TNPO at its own reference is GA but for the 1e-5 in its weight: 2 p^β / (2 p^β + 1e-5)."""
    model = moved()
    ga = measured(tmp_path, model, GA()).objective
    torch.testing.assert_close(measured(tmp_path, model, WGA(alpha=0.0)).objective, ga, rtol=1e-12, atol=0)
    own = base()
    found = measured(tmp_path, own, TNPO(beta=0.25))
    torch.testing.assert_close(found.weight, 1 / (1 + 5e-6 / found.p**0.25))
    torch.testing.assert_close(found.objective, measured(tmp_path, own, GA()).objective, rtol=1e-3, atol=0)


def test_the_weights_of_tokens(tmp_path: Path) -> None:
    """Those of the formulas: 1, p^α, 2 / (1 + (p_o / p of the answer)^β); none where no log-probability is read."""
    model = moved()
    p = measured(tmp_path, model, GA()).p
    assert len(p) == sum(len(row.labels) for row in FORGET)
    assert measured(tmp_path, model, GA()).weight.tolist() == [1.0] * len(p)
    for by in (LAYER_AND_ROW, ()):  # any split
        found = measured(tmp_path, model, WGA(alpha=2.0), by=by)
        torch.testing.assert_close(found.weight, found.p**2)
    npo = measured(tmp_path, model, NPO(beta=0.5))
    row = torch.tensor([i for i, each in enumerate(FORGET) for _ in each.labels])
    nll = [sum_by_row(-npo.p.log(), row), sum_by_row(-measured(tmp_path, base(), GA()).p.log(), row)]
    torch.testing.assert_close(npo.weight, 2 * torch.sigmoid(-0.5 * (nll[0] - nll[1]))[row])
    assert len(measured(tmp_path, model, RMU(layer=1, c=2.0, normalize=False)).weight) == 0


def sum_by_row(values: Tensor, row: Tensor) -> Tensor:
    """Sum over each row, whose tokens follow one another when each row is measured by itself."""
    return torch.zeros(len(FORGET), dtype=values.dtype).index_add(0, row, values)


def test_a_large_alpha_spares_unconfident_tokens() -> None:
    """WGA's weight of a token with p < .5 is below .001 on average at α = 7, as in the paper's figure; bins say so."""
    p = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)
    for alpha, share in ((0.0, 1.0), (1.0, 1 / 4), (7.0, 2**-10)):  # the mean of p^α over 0 to 1/2
        bins = summarize_weights(p, p**alpha)
        assert [one["p"] for one in bins] == pytest.approx([i / 10 for i in range(10)])
        assert [one["n"] for one in bins] == [10] * 10
        assert sum(one["mean"] for one in bins[:5]) / 5 == pytest.approx(share, rel=0.02)
        assert all(one["low"] <= one["mean"] <= one["high"] for one in bins)
    assert summarize_weights(torch.empty(0), torch.empty(0)) == []
    assert summarize_weights(torch.ones(3), torch.ones(3))[0]["p"] == 0.9  # p = 1 lies in the last bin


def test_a_measurement_in_plain_types(tmp_path: Path) -> None:
    """What a record holds: rows from 1, shares only as asked for; a number that is not finite is told."""
    model = moved(torch.float32)
    full = build_probe(tmp_path, model, GA(), n=2).measure(model, 7)
    assert (full["step"], full["rows"]) == (7, [1, 3])
    assert [(one["risk"], one["term"]) for one in full["effects"]] == [
        ("forget", "objective"),
        ("retain", "objective"),
        ("forget", "retain_term"),
        ("retain", "retain_term"),
    ]
    first = full["effects"][0]
    assert first["whole"] < 0  # ascent raises the risk of its own rows
    assert sum(first["rows"]) == pytest.approx(first["whole"], rel=1e-5)
    assert sum(first["parts"].values()) == pytest.approx(first["whole"], rel=1e-5)
    outer = first["parts"]["embeddings"] + first["parts"]["head"]
    assert sum(first["layers"]) + outer == pytest.approx(first["whole"], rel=1e-5)
    bare = build_probe(tmp_path, model, GA(), term="none", n=2, by=()).measure(model, 0)
    assert len(bare["effects"]) == 2 and bare["rows"] == []
    assert bare["effects"][0] == {
        **first,
        "rows": [],
        "layers": [],
        "parts": pytest.approx(first["parts"], rel=1e-4),
        "whole": pytest.approx(first["whole"], rel=1e-4),
    }
    assert is_finite(full)
    assert not is_finite({**full, "effects": [{**first, "whole": float("inf")}]})


def test_adapters_alone(tmp_path: Path) -> None:
    """Where adapters are trained, they are all that an effect is over; at B = 0 it comes from B alone."""
    model = base(torch.float32)
    add_adapters(model, LoraConfig.model_validate({"rank": 2}), "float32")
    reset_adapters(model, 0)
    probe = build_probe(tmp_path, base(torch.float32), GA(), term="none")
    found = probe.measure_tensors(model)
    assert found.objective[:, :, 0].abs().max() == found.objective[:, :, -1].abs().max() == 0
    assert found.objective[:, 0].sum() < 0
    assert all(weight.grad is None for weight in model.parameters())


def test_rows_are_evenly_chosen() -> None:
    """As many as asked for, from the first on at equal distances; all of them if there are no more."""
    assert choose_evenly(10, 4) == [0, 2, 5, 7]
    assert choose_evenly(3, 16) == [0, 1, 2]
