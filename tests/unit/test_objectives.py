"""Each objective's values derived by hand, its gradient, and the laws that tie the objectives together."""

from collections.abc import Callable
from dataclasses import replace
from math import log
from typing import TypeAlias

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from objectives._base import Answers, Objective
from objectives._terms import distillation_loss
from objectives.ceu import CEU
from objectives.dpo import DPO
from objectives.ga import GA
from objectives.idk import IDK
from objectives.npo import NPO
from objectives.rmu import RMU
from objectives.satimp import SatImp
from objectives.simnpo import SimNPO
from objectives.tnpo import TNPO
from objectives.undial import UNDIAL
from objectives.wga import WGA
from objectives.wtnpo import WTNPO
from support.answers import extreme, of_logits, of_logp, only, random

Pairs: TypeAlias = list[tuple[float, float]]
LN2 = log(2)
HALF, QUARTER = -LN2, -2 * LN2
"""Log-probabilities of 1/2 and 1/4."""
POSITIVE = st.floats(0.01, 10)
PAIRS = st.lists(st.tuples(st.floats(-50, 0), st.floats(-50, 0)), min_size=1, max_size=6)
"""Log-probabilities of tokens under the model and the reference."""


def known() -> Answers:
    """A row with p = 1/2 and 1/4 and a row with p = 1, all 1/2 under the reference.

    Sums of the rows: NLL = 3 ln 2 and 0; NLL_o = 2 ln 2 and ln 2.
    """
    return of_logp(torch.tensor([HALF, QUARTER, 0.0]), torch.tensor([HALF, HALF, HALF]), [2, 1])


def refused() -> Answers:
    """The known rows with refusals of one token: 1/2 against 1/4 under the reference, 1/4 against 1/2."""
    return replace(known(), refusal=of_logp(torch.tensor([HALF, QUARTER]), torch.tensor([QUARTER, HALF]), [1, 1]))


def equals(found: Tensor, *expected: float) -> None:
    """Equal to float32's rounding."""
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=1e-6, atol=1e-7)


# Values by hand


def test_ga() -> None:
    """−CE = ln p: −ln 2, −2 ln 2 and 0."""
    equals(GA()(known()), HALF, QUARTER, 0)


def test_wga() -> None:
    """p² is 1/4, 1/16 and 1: −ln 2 / 4, −2 ln 2 / 16 and 0."""
    equals(WGA(alpha=2.0)(known()), -LN2 / 4, -LN2 / 8, 0)


def test_npo() -> None:
    """NLL − NLL_o = ln 2, so that 2 ln(1 + 1/2); then −ln 2, so that 2 ln(1 + 2)."""
    equals(NPO(beta=1.0)(known()), 2 * log(1.5), 2 * log(3))


def test_tnpo() -> None:
    """The weight 2 p / (p + p_o + 1e-5) is 1 / 1.00001, .5 / .75001, 2 / 1.50001, times ln p."""
    equals(TNPO(beta=1.0)(known()), -LN2 / 1.00001, -2 * LN2 * 0.5 / 0.75001, 0)


def test_wtnpo() -> None:
    """The weight 2 p² / (p + p_o + 1e-5) is .5 / 1.00001, .125 / .75001, times ln p."""
    equals(WTNPO(alpha=1.0, beta=1.0)(known()), -LN2 * 0.5 / 1.00001, -2 * LN2 * 0.125 / 0.75001, 0)


def test_rmu() -> None:
    """c·u = (1, 2): (0² + 1²) / 2 and (1² + 2²) / 2."""
    answers = steered([[1.0, 3.0], [0.0, 0.0]], [0.5, 1.0])
    equals(RMU(layer=1, c=2.0, normalize=False)(answers), 0.5, 2.5)


def test_rmu_normalised() -> None:
    """(.3, .4) has length 1/2, so that u = (.6, .8) and c·u = (3, 4): (3² + 4²) / 2 and (0² + 1²) / 2."""
    answers = steered([[0.0, 0.0], [3.0, 5.0]], [0.3, 0.4])
    equals(RMU(layer=1, c=5.0, normalize=True)(answers), 12.5, 0.5)


def steered(hidden: list[list[float]], direction: list[float]) -> Answers:
    """Two tokens with these hidden states."""
    empty = torch.zeros(2)
    return replace(of_logp(empty, empty, [2]), hidden=torch.tensor(hidden), direction=torch.tensor(direction))


def test_idk() -> None:
    """CE of the refusals' tokens, whatever the answers are: ln 2 and 2 ln 2."""
    equals(IDK()(refused()), LN2, 2 * LN2)


def test_simnpo() -> None:
    """NLL/n − δ = 1.5 ln 2 − ln 2, so that ln(1 + 1/2); then 0 − ln 2, so that ln(1 + 4)."""
    equals(SimNPO(beta=2.0, delta=LN2)(known()), log(1.5), log(5))


def test_satimp() -> None:
    """The weight p (1−p)² is 1/2 · 1/4, 1/4 · 9/16 and 0, times ln p."""
    equals(SatImp(beta1=1.0, beta2=2.0)(known()), -LN2 / 8, -2 * LN2 * 9 / 64, 0)


@pytest.mark.parametrize(("beta2", "weight"), [(0.0, 1.0), (0.5, 0.0), (1.0, 0.0)])
def test_satimp_of_a_certain_token(beta2: float, weight: float) -> None:
    """At p = 1 the weight (and so the gradient) is 0^β2: 1 for β2 = 0, else 0."""
    logp = torch.zeros(1, requires_grad=True)
    loss = SatImp(beta1=1.0, beta2=beta2)(of_logp(logp, logp.detach(), [1]))
    assert torch.autograd.grad(loss.sum(), logp) == (torch.tensor([weight]),)


def test_satimp_of_a_token_next_to_certain() -> None:
    """At log p = −1e-12 the weight 1−p is 1e-12; 1 − exp(log p) in float32 would be 0."""
    logp = torch.tensor([-1e-12])
    equals(SatImp(beta1=0.0, beta2=1.0)(of_logp(logp, logp, [1])) / logp**2, -1)


def test_dpo() -> None:
    """Gains of refusal and answer: ln 2 and −ln 2, so that 2 ln(1 + 1/4); −ln 2 and ln 2, so that 2 ln(1 + 4)."""
    equals(DPO(beta=1.0)(refused()), 2 * log(1.25), 2 * log(5))


def test_undial() -> None:
    """The model says (3/4, 1/4); the reference, (2/3, 1/3) but for ln 2, says (1/2, 1/2): ½ ln(4/3) + ½ ln 4."""
    z, z_o = torch.tensor([[log(3), 0.0]]), torch.tensor([[LN2, 0.0]])
    equals(UNDIAL(beta=LN2)(of_logits(z, z_o, torch.tensor([0]), [1])), log(4 / 3) / 2 + log(4) / 2)


def test_ceu() -> None:
    """The model says (1/2, 1/4, 1/4); without the label q = (0, 1/2, 1/2), so that ln 4; first tokens give 0.

    The gradient is p − q = (1/2, −1/4, −1/4): the label's logit falls, the others rise as they were.
    """
    z = torch.tensor([[LN2, 0.0, 0.0]]).repeat(4, 1).requires_grad_()
    loss = CEU()(of_logits(z, z, torch.zeros(4, dtype=torch.int64), [3, 1]))
    equals(loss, 0, log(4), log(4), 0)
    (gradient,) = torch.autograd.grad(loss.sum(), z)
    torch.testing.assert_close(gradient, torch.tensor([0.0, 1, 1, 0])[:, None] * torch.tensor([0.5, -0.25, -0.25]))


# Gradients


@pytest.mark.parametrize("objective", [GA(), NPO(beta=0.7), SimNPO(beta=2.5, delta=0.4)], ids=repr)
def test_gradient_of_the_answers(objective: Objective) -> None:
    """Finite differences in float64 of log-probabilities from p = 1 to log p = −200 agree with autograd."""
    logp = torch.tensor([-0.1, -2.0, 0.0, -200.0, -1.0], dtype=torch.float64)
    ref_logp = torch.tensor([-1.0, -1.5, -0.5, -3.0, 0.0], dtype=torch.float64)
    assert_gradient(lambda x: objective(of_logp(x, ref_logp, [2, 1, 1, 1])), logp)


@pytest.mark.parametrize("objective", [IDK(), DPO(beta=0.3)], ids=repr)
def test_gradient_of_the_refusals(objective: Objective) -> None:
    """The same, with respect to the refusals' log-probabilities."""
    logp, ref_logp = torch.tensor([[-0.1, -2.0, -7.0], [-1.0, -1.5, -0.5]], dtype=torch.float64)
    answers = of_logp(ref_logp, logp, [2, 1])
    assert_gradient(lambda x: objective(replace(answers, refusal=of_logp(x, ref_logp, [1, 2]))), logp)


@pytest.mark.parametrize("normalize", [False, True])
def test_gradient_of_the_hidden_states(normalize: bool) -> None:
    """The same, of RMU."""
    objective, answers = RMU(layer=1, c=2.0, normalize=normalize), random((2, 1))
    assert answers.hidden is not None
    assert_gradient(lambda x: objective(replace(answers, hidden=x)), answers.hidden.detach().double())


def test_gradient_of_the_logits() -> None:
    """The same, of UNDIAL, and of CE-U where the detached teacher is held (by hand it is p − q, above)."""
    answers = random((2, 1))
    assert answers.logits is not None
    logits, label = answers.logits.detach().double(), answers.label
    double = replace(answers, ref_logits=logits.flip(0))
    assert_gradient(lambda x: UNDIAL(beta=3.0)(replace(double, logits=x)), logits)
    assert_gradient(lambda x: distillation_loss(x, logits, label, float("-inf")), logits)


def assert_gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    """Autograd agrees with finite differences."""
    assert torch.autograd.gradcheck(function, at.clone().requires_grad_())


@pytest.mark.parametrize(
    "objective", [WGA(alpha=3.0), TNPO(beta=2.0), WTNPO(alpha=1.5, beta=0.5), SatImp(beta1=2.0, beta2=0.5)], ids=repr
)
def test_weights_have_no_gradient(objective: Objective) -> None:
    """Of w · ln p with w detached the gradient is w itself; through w it would be w + w' ln p."""
    logp = torch.tensor([-0.1, -2.0, -0.7]).requires_grad_()
    loss = objective(of_logp(logp, torch.tensor([-1.0, -1.5, -0.5]), [2, 1]))
    (gradient,) = torch.autograd.grad(loss.sum(), logp)
    torch.testing.assert_close(gradient, (loss / logp).detach())


# Laws


def of_pairs(pairs: Pairs, dtype: torch.dtype = torch.float32) -> Answers:
    """One row with these log-probabilities under the model and the reference."""
    logp, ref_logp = torch.tensor(pairs, dtype=dtype).T.contiguous()
    return of_logp(logp, ref_logp, [len(pairs)])


law = settings(deadline=None, max_examples=100)


@law
@given(pairs=PAIRS, beta=POSITIVE)
def test_wtnpo_without_alpha_is_tnpo(pairs: Pairs, beta: float) -> None:
    """p^(0+β) is p^β: the same to the last bit."""
    answers = of_pairs(pairs)
    assert WTNPO(alpha=0.0, beta=beta)(answers).equal(TNPO(beta=beta)(answers))


@law
@given(pairs=PAIRS, alpha=st.floats(0, 10))
def test_wga_and_satimp_without_weight_are_ga(pairs: Pairs, alpha: float) -> None:
    """p^0 and (1−p)^0 are 1, at p = 1 too: satimp(α, 0) = wga(α), and wga(0) = ga, to the last bit."""
    answers = of_pairs(pairs)
    assert SatImp(beta1=alpha, beta2=0.0)(answers).equal(WGA(alpha=alpha)(answers))
    assert WGA(alpha=0.0)(answers).equal(GA()(answers))


@law
@given(pairs=PAIRS, beta=POSITIVE)
def test_tnpo_at_the_reference(pairs: Pairs, beta: float) -> None:
    """With p_o = p the weight 2 p^β / (2 p^β + 1e-5) is 1 / (1 + 5e-6 p^−β)."""
    answers = of_pairs([(p, p) for p, _ in pairs], torch.float64)
    assert answers.logp is not None
    weight = 1 / (1 + 5e-6 * (-beta * answers.logp).exp())
    torch.testing.assert_close(TNPO(beta=beta)(answers), weight * answers.logp, rtol=1e-12, atol=0)


def test_tnpo_at_the_reference_at_large_beta() -> None:
    """β = 7, p = .1: 2e-7 / (2e-7 + 1e-5) = 1/51, a fiftieth of gradient ascent."""
    answers = of_pairs([(log(0.1), log(0.1))])
    equals(TNPO(beta=7.0)(answers), log(0.1) / 51)


@law
@given(pairs=PAIRS)
def test_npo_between_its_limits(pairs: Pairs) -> None:
    """With x = NLL − NLL_o: β → 0 gives (2/β) ln 2 − x, gradient ascent on rows; β → ∞ gives 2 max(0, −x)."""
    answers = of_pairs(pairs, torch.float64)
    assert answers.nll is not None
    assert answers.ref_nll is not None
    x = answers.nll - answers.ref_nll
    torch.testing.assert_close(NPO(beta=1e-7)(answers) - 2e7 * LN2, -x, rtol=0, atol=1e-2)
    torch.testing.assert_close(NPO(beta=1e7)(answers), 2 * (-x).clamp(min=0), rtol=0, atol=2e-7)


@law
@given(pairs=PAIRS, refusal=st.floats(-50, 0), beta=POSITIVE)
def test_dpo_is_npo_where_the_refusal_stays(pairs: Pairs, refusal: float, beta: float) -> None:
    """A refusal as probable as under the reference gains 0, so that only the answer's loss counts."""
    answers = of_pairs(pairs)
    full = replace(answers, refusal=of_pairs([(refusal, refusal)]))
    torch.testing.assert_close(DPO(beta=beta)(full), NPO(beta=beta)(answers))


@law
@given(pairs=PAIRS, beta=POSITIVE)
def test_simnpo_is_npo_on_tokens(pairs: Pairs, beta: float) -> None:
    """On rows of one token NLL/n = NLL, and a margin at the reference's NLL makes it NPO."""
    for logp, ref_logp in pairs:
        answers = of_pairs([(logp, ref_logp)])
        torch.testing.assert_close(SimNPO(beta=beta, delta=-ref_logp)(answers), NPO(beta=beta)(answers))


@law
@given(seed=st.integers(0, 999))
def test_ceu_is_undial_that_forbids_the_label(seed: int) -> None:
    """With the model as its own reference and β = 1e4 the label's share of the teacher is 0, as at −∞."""
    answers = random((4,), seed)
    itself = replace(answers, ref_logits=answers.logits)
    torch.testing.assert_close(UNDIAL(beta=1e4)(itself)[1:], CEU()(answers)[1:])


@law
@given(seed=st.integers(0, 999))
def test_undial_without_beta_keeps_the_reference(seed: int) -> None:
    """The cross-entropy of the reference against itself is least there: the gradient is p − p_o = 0."""
    answers = random((3,), seed)
    assert answers.logits is not None
    loss = UNDIAL(beta=0.0)(replace(answers, ref_logits=answers.logits))
    (gradient,) = torch.autograd.grad(loss.sum(), answers.logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)


@law
@given(seed=st.integers(0, 999))
def test_rmu_normalised_is_rmu_of_another_c(seed: int) -> None:
    """The pushed direction c · u / ‖u‖ is (c / ‖u‖) · u."""
    answers = random((3,), seed)
    assert answers.direction is not None
    length = float(answers.direction.norm())
    normalised = RMU(layer=2, c=3.0, normalize=True)(answers)
    torch.testing.assert_close(normalised, RMU(layer=2, c=3.0 / length, normalize=False)(answers))


# Extremes


def test_a_forgotten_token_is_left_alone() -> None:
    """At log p = −200 − ln 2 float32 has no p^α: the weights are exactly 0, while GA's stays 1."""
    answers = extreme((1,), [-200.0] * 2, [0.0] * 2)
    for objective, weight in [(GA(), 1), (WGA(alpha=1.0), 0), (TNPO(beta=1.0), 0), (SatImp(beta1=1.0, beta2=1.0), 0)]:
        loss = objective(only(answers, objective.needs))
        assert answers.logp is not None
        assert loss.equal(weight * answers.logp)


def test_a_row_without_tokens_has_no_gradient() -> None:
    """The sums over no tokens are 0, so that NPO gives (2/β) ln 2 and SimNPO (2/β) ln(1 + e^(βδ)), both constant."""
    logp = torch.tensor([-1.0], requires_grad=True)
    answers = of_logp(logp, torch.tensor([-1.0]), [0, 1])
    equals(NPO(beta=0.5)(answers).detach()[:1], 4 * LN2)
    row = SimNPO(beta=2.0, delta=LN2)(answers)[:1]
    equals(row.detach(), log(5))
    assert torch.autograd.grad(row.sum(), logp) == (torch.zeros(1),)
