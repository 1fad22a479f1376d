"""The teacher-forced forward against the model's own logits, computed the slow way."""

import math

import pytest
import torch

from eval.models import forward
from eval.models.forward import find_blocks, hidden_states, label_logp, label_statistics, layer_states
from eval.models.logits import head_of
from eval.rows.encode import EncodedRow, collate
from eval.rows.types import DataError
from support.toys import encoded, llama

ROWS = encoded((5, 3), (2, 1), (9, 6), (4, 4))
CPU = torch.device("cpu")


@torch.no_grad()
def slow(rows: list[EncodedRow]) -> tuple[list[float], list[bool]]:
    """One row at a time, no padding, full logits."""
    logp, hit = [], []
    for row in rows:
        logits = MODEL(input_ids=torch.tensor([row.ids])).logits[0]
        for at in range(row.start, len(row.ids)):
            logp.append(float(logits[at - 1].log_softmax(0)[row.ids[at]]))
            hit.append(int(logits[at - 1].argmax()) == row.ids[at])
    return logp, hit


MODEL = llama()


@pytest.mark.parametrize("tokens", [1, 16, 4096])
@pytest.mark.parametrize("chunk", [1, 1024])
def test_equals_the_models_logits(monkeypatch: pytest.MonkeyPatch, tokens: int, chunk: int) -> None:
    """Whatever the batch and chunk sizes: each label's log-probability within 1e-5, each hit the same."""
    monkeypatch.setattr(forward, "MAX_PASS_POSITIONS", tokens)
    monkeypatch.setattr(forward, "MAX_CHUNK_POSITIONS", chunk)
    found = label_statistics(MODEL, ROWS)
    logp, hit = slow(ROWS)
    assert found.logp.tolist() == pytest.approx(logp, abs=1e-5)
    assert found.hit.tolist() == hit
    assert found.row.tolist() == [0] * 3 + [1] + [2] * 6 + [3] * 4


def test_row_order_does_not_matter() -> None:
    """Rows asked in reverse give the same numbers in reverse."""
    there, back = label_statistics(MODEL, ROWS), label_statistics(MODEL, ROWS[::-1])
    n = [len(row.labels) for row in ROWS]
    parts = zip(there.logp.split(n), reversed(back.logp.split(n[::-1])), strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in parts)


def test_same_bits_twice() -> None:
    """The same model on the same rows gives the same bits."""
    assert torch.equal(label_statistics(MODEL, ROWS).logp, label_statistics(MODEL, ROWS).logp)


@pytest.mark.parametrize("lead", [8.0, 12.0, 14.0])
def test_labels_near_certainty_are_as_fine_as_log_softmax(lead: float) -> None:
    """−ln p of a label that leads 4 others by `lead` is ln(1 + 4 e^−lead), to a few float32 steps at 1, not at 40."""
    head = torch.nn.Linear(1, 5, bias=False)
    with torch.no_grad():
        head.weight.fill_(40 - lead)[0] = 40
    (logp,) = label_logp(head, torch.ones(1, 1), torch.tensor([0])).tolist()
    assert logp == pytest.approx(-math.log1p(4 * math.exp(-lead)), abs=3e-7)


def test_chunks_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits made again in the backward pass give the gradient of the unchunked form."""
    gradients = []
    for chunk in (3, 1024):
        monkeypatch.setattr(forward, "MAX_CHUNK_POSITIONS", chunk)
        model = llama()
        batch = collate(ROWS, CPU)
        label_logp(head_of(model), hidden_states(model, batch)[batch.row, batch.position], batch.label).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    pairs = zip(*gradients, strict=True)
    assert all(a is not None and b is not None and torch.allclose(a, b, atol=1e-4) for a, b in pairs)


@pytest.mark.parametrize("layer", [0, 1])
def test_layer_states_stop_there(layer: int) -> None:
    """The states of a layer are the model's own hidden_states[layer]; no block from there on has run."""
    batch = collate(ROWS, CPU)
    ran: list[int] = []
    blocks = MODEL.base_model.layers
    assert isinstance(blocks, torch.nn.ModuleList)
    handles = [block.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(blocks)]
    states = layer_states(MODEL, batch, layer)
    assert ran == list(range(layer))
    for handle in handles:
        handle.remove()
    whole = MODEL(input_ids=batch.ids, attention_mask=batch.mask, output_hidden_states=True).hidden_states[layer]
    real = batch.mask.bool()
    assert torch.allclose(states[real], whole[real], atol=1e-6)
    assert states.requires_grad


def test_a_model_without_a_list_of_its_layers_is_named() -> None:
    """Its configuration says one layer more than it has."""
    model = llama()
    model.config.num_hidden_layers += 1
    with pytest.raises(DataError, match=r"^a model of type llama has no list of its 3 layers: choose another$"):
        find_blocks(model)


def test_weights_that_are_not_finite_change_no_logits() -> None:
    """Those of a model that diverged: what is not a number on both sides is the same."""
    diverged = llama()
    with torch.no_grad():
        next(diverged.parameters()).fill_(math.nan)
    assert forward.has_known_logits(diverged, ROWS[:1])
