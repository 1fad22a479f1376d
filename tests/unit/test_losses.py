"""The loop's side of the contract: what an objective is given, and the retain terms, against a live reference."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from transformers import Gemma2Config, Gemma2ForCausalLM, PhiConfig, PhiForCausalLM, PreTrainedModel

from eval.models.logits import head_of
from objectives._base import Answers, Objective, needed
from objectives.wtnpo import WTNPO
from support.commands import SHARED
from support.toys import config, encoded, llama
from sweep.training import loss_terms, reference
from sweep.training.loss_terms import ForgetTerm, KLRetainTerm, NLLRetainTerm, NoRetainTerm
from sweep.training.reference import TrainingRows

FORGET = encoded((3, 2), (2, 5), (4, 1))
RETAIN = encoded((2, 3), (5, 2), (3, 4), (2, 2))
REFUSALS = encoded((3, 4), (2, 2), (4, 3))


def phi() -> PreTrainedModel:
    """A small Phi, whose head has a bias."""
    torch.manual_seed(0)
    config = PhiConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = PhiForCausalLM(config)
    nn.init.normal_(model.lm_head.bias)
    model.eval()
    return model


def gemma() -> PreTrainedModel:
    """A small Gemma-2, which caps its logits."""
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        head_dim=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        final_logit_softcapping=0.5,
        initializer_range=0.2,
    )
    model = Gemma2ForCausalLM(config)
    model.eval()
    return model


def asked(length: int = 0) -> TrainingRows:
    """The toy rows, retain rows padded to `length`."""
    return TrainingRows(forget=FORGET, refusals=REFUSALS, retain=RETAIN, min_length=length)


def pair(make: object, folder: Path, length: int = 0) -> tuple[PreTrainedModel, PreTrainedModel, reference.Reference]:
    """A model that has moved, the live reference it came from, and the reference's stored values."""
    assert callable(make)
    live, model = make(), make()
    reference.write_reference(folder, live, asked(length), torch.float32)
    said = reference.read_reference(folder, live, asked(length))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model, live, said


def forget_term(objective: Objective, said: reference.Reference, tokens: int = 8192) -> ForgetTerm:
    """The forget term over the toy rows."""
    return ForgetTerm(
        objective=objective,
        rows=FORGET,
        refusals=REFUSALS,
        reference=said,
        direction=torch.linspace(0, 1, 32),
        tokens=tokens,
    )


def kl_term(said: reference.Reference, weight: float = 1.0, length: int = 0) -> KLRetainTerm:
    """The KL over the toy rows."""
    return KLRetainTerm(rows=RETAIN, weight=weight, reference=said, min_length=length, tokens=8192)


def answer_logp(model: PreTrainedModel, rows: list[int]) -> Iterator[Tensor]:
    """Log-probability of each answer token, one row at a time."""
    for i in rows:
        logp = model(input_ids=torch.tensor([FORGET[i].ids])).logits[0].log_softmax(1)
        yield from (logp[at - 1, FORGET[i].ids[at]] for at in range(FORGET[i].start, len(FORGET[i].ids)))


@pytest.mark.parametrize("make", [llama, phi, gemma])
def test_forget_term_equals_a_live_reference(make: object, tmp_path: Path) -> None:
    """WTNPO with stored values equals the formula with a reference model beside it (1e-6 of the loss)."""
    model, live, said = pair(make, tmp_path)
    found = torch.stack(list(forget_term(WTNPO(alpha=0.5, beta=0.3), said).loss_parts(model, [0, 1, 2]))).sum()
    p, o = (torch.stack(list(answer_logp(m, [0, 1, 2]))).exp() for m in (model, live))
    expected = (2 * p.detach() ** 0.8 / (p.detach() ** 0.3 + o.detach() ** 0.3 + 1e-5) * p.log()).mean()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-6)


def quiet_llama() -> PreTrainedModel:
    """A small Llama with tied embeddings, its weights as they are drawn."""
    return llama(scale=1.0)


@pytest.mark.parametrize("make", [quiet_llama, phi, gemma])
def test_the_loss_equals_a_live_reference(make: object, tmp_path: Path) -> None:
    """Forget and retain term together, as a trial adds them up, within 1e-6 of both models side by side."""
    model, live, said = pair(make, tmp_path)
    trial = config(tmp_path, retain={"term": "kl", "weight": 0.7, "reduction": "tokens"})
    terms = loss_terms.build_terms(trial, WTNPO(alpha=0.5, beta=0.3), 0, model, asked(), said)
    found = sum(float(part.detach()) for term in terms for part in term.loss_parts(model, [0, 1, 2]))
    with torch.no_grad():
        p, o = (torch.stack(list(answer_logp(m, [0, 1, 2]))).exp() for m in (model, live))
        forget = (2 * p**0.8 / (p**0.3 + o**0.3 + 1e-5) * p.log()).mean()
        said_of = [
            [m(input_ids=torch.tensor([row.ids[:-1]])).logits[0].log_softmax(1) for m in (model, live)]
            for row in RETAIN[:3]
        ]
        retain = torch.cat([(o.exp() * (o - p)).sum(1) for p, o in said_of]).mean()
    assert found == pytest.approx(float(forget + 0.7 * retain), abs=1e-6)
    assert abs(float(retain)) > 1e-3


@pytest.mark.parametrize("length", [0, 9])
@pytest.mark.parametrize("make", [llama, phi, gemma])
def test_kl_equals_a_live_reference(make: object, length: int, tmp_path: Path) -> None:
    """KL with stored states equals both models side by side: over real positions, or over all padded ones."""
    model, live, said = pair(make, tmp_path, length)
    term = kl_term(said, 2.0, length)
    found = torch.stack(list(term.loss_parts(model, [0, 2, 3]))).sum()
    total, positions = torch.tensor(0.0), 0
    for row in (RETAIN[0], RETAIN[2], RETAIN[3]):
        real = len(row.ids) - 1
        width = max(real, length)
        ids = torch.tensor([[*row.ids[:-1], *[row.ids[-1]] * (width - real)]])
        mask = torch.tensor([[1] * real + [0] * (width - real)])
        p, o = (m(input_ids=ids, attention_mask=mask).logits[0].log_softmax(1) for m in (model, live))
        total, positions = total + (o.exp() * (o - p)).sum().detach(), positions + width
    assert float(found.detach()) == pytest.approx(2 * float(total) / positions, rel=1e-4, abs=1e-6)


def test_kl_of_the_reference_with_itself_is_zero(tmp_path: Path) -> None:
    """At the start of a trial the model is the reference: nothing to be kept yet."""
    live = llama()
    reference.write_reference(tmp_path, live, asked(), torch.float32)
    term = kl_term(reference.read_reference(tmp_path, live, asked()))
    assert float(torch.stack(list(term.loss_parts(live, [0, 1, 2, 3]))).sum().detach()) == pytest.approx(0, abs=1e-5)


def test_kl_in_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two positions at a time: the same loss and the same gradient as all at once."""
    found = []
    for chunk in (2, 1024):
        monkeypatch.setattr(loss_terms, "MAX_CHUNK_POSITIONS", chunk)
        model, _, said = pair(llama, tmp_path)
        loss = next(kl_term(said).loss_parts(model, [0, 1, 2, 3]))
        loss.backward()
        found.append((float(loss.detach()), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_other_retain_terms(tmp_path: Path) -> None:
    """`none` has no part; `nll` is weight · ⟨CE⟩, twice that for twice the weight."""
    model = llama()
    assert list(NoRetainTerm().loss_parts(model, [0, 1])) == []
    once, twice = (
        next(NLLRetainTerm(rows=RETAIN, weight=w, tokens=8192).loss_parts(model, [0, 1])) for w in (1.0, 2.0)
    )
    assert float(twice) == pytest.approx(2 * float(once))


@pytest.mark.parametrize("unit", ["token", "row"])
def test_any_split_gives_the_same_loss(unit: Literal["token", "row"], tmp_path: Path) -> None:
    """One row a pass or all at once, for losses of tokens and of rows: the whole batch's count divides the sum."""

    @dataclass(frozen=True, kw_only=True)
    class Toy(Objective):
        unit: ClassVar[Literal["token", "row"]]
        needs: ClassVar[frozenset[str]] = frozenset({"logp"})

        def __call__(self, answers: Answers) -> Tensor:
            return needed(answers.logp) if self.unit == "token" else needed(answers.nll)

    Toy.unit = unit
    model, _, said = pair(llama, tmp_path)
    logp = torch.stack(list(answer_logp(model, [0, 1, 2])))
    expected = float(logp.mean()) if unit == "token" else -float(logp.sum()) / 3
    for tokens in (1, 8192):
        parts = list(forget_term(Toy(), said, tokens).loss_parts(model, [0, 1, 2]))
        assert float(torch.stack(parts).sum()) == pytest.approx(expected, rel=1e-5)


def test_what_needs_names_is_there_and_nothing_else(tmp_path: Path) -> None:
    """Each need fills its own fields; their values against a live reference, the layer's states, the refusals."""
    model, live, said = pair(llama, tmp_path)
    seen: list[Answers] = []

    @dataclass(frozen=True, kw_only=True)
    class Spy(Objective):
        unit = "token"
        needs: ClassVar[frozenset[str]] = frozenset()
        layer: int = 1

        def __call__(self, answers: Answers) -> Tensor:
            seen.append(answers)
            return torch.zeros(1)

    fields = {"logp", "nll", "ref_logp", "ref_nll", "logits", "ref_logits", "hidden", "direction", "refusal"}
    for need, filled in {
        "logp": {"logp", "nll"},
        "ref_logp": {"ref_logp", "ref_nll"},
        "logits": {"logits"},
        "ref_logits": {"ref_logits"},
        "hidden": {"hidden"},
        "direction": {"direction"},
        "refusal": {"refusal"},
    }.items():
        Spy.needs = frozenset({need})
        list(forget_term(Spy(), said).loss_parts(model, [0, 1, 2]))
        assert {name for name in fields if getattr(seen[-1], name) is not None} == filled
        _check(need, seen[-1], model, live)


def _check(need: str, answers: Answers, model: PreTrainedModel, live: PreTrainedModel) -> None:
    """Compare one filled part with the slow way; rows come longest first: 1 (7 tokens), then 0 and 2 (5 each)."""
    order = [1, 0, 2]
    if need in ("logp", "ref_logp"):
        slow = torch.stack(list(answer_logp(model if need == "logp" else live, order)))
        assert torch.allclose(needed(getattr(answers, need)), slow, atol=1e-5)
    if need in ("logits", "ref_logits"):
        source = model if need == "logits" else live
        asked_one = [source(input_ids=torch.tensor([FORGET[i].ids])).logits[0] for i in order]
        slow = torch.cat([logits[FORGET[i].start - 1 : -1] for i, logits in zip(order, asked_one, strict=True)])
        assert torch.allclose(needed(getattr(answers, need)), slow, atol=1e-4)
    if need == "refusal":
        refusal = needed(answers.refusal)
        assert refusal.n.tolist() == [2, 4, 3]
        assert refusal.logp is not None and refusal.nll is not None and refusal.ref_logp is None


@pytest.mark.parametrize("make", [llama, phi])
def test_the_head_has_its_bias_and_shares_nothing(make: object, tmp_path: Path) -> None:
    """Training the model moves its head; the reference's stays what it was."""
    model, live, said = pair(make, tmp_path)
    before = [p.clone() for p in said.head.parameters()]
    with torch.no_grad():
        for parameter in live.parameters():
            parameter.zero_()
    assert len(before) == len(list(head_of(model).parameters()))
    assert all(torch.equal(a, b) for a, b in zip(before, said.head.parameters(), strict=True))


GOLDEN = SHARED / "golden" / "objectives_plain.json"


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the values of the paper's own code are not beside the checkout")
def test_kl_equals_the_papers_code() -> None:
    """Its mean over all 27 padded positions, and that over the 20 real ones, from the same logits (head: identity)."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    inputs, expected = golden["inputs"]["plain"], golden["kl"]["plain"]
    model, oracle = (torch.tensor(inputs[f"retain_logits_{whose}"]) for whose in ("current", "oracle"))
    real = torch.tensor(inputs["retain"]["attention_mask"]).bool()
    padded = loss_terms.sum_kl(nn.Identity(), model.flatten(0, 1), nn.Identity(), oracle.flatten(0, 1)) / real.numel()
    tokens = loss_terms.sum_kl(nn.Identity(), model[real], nn.Identity(), oracle[real]) / real.sum()
    assert float(padded) == pytest.approx(expected["reference_batchmean_all_positions"], rel=1e-5)
    assert float(tokens) == pytest.approx(expected["nonpad_token_mean"], rel=1e-5)
