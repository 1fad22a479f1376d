"""The teacher-forced forward: what a model says of each answer token, without ever holding logits [B, T, V]."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from eval.encode import Batch, Encoded, by_length, collate

CHUNK = 1024
"""Positions whose logits are held at once."""
TOKENS = 4096
"""Padded positions of one forward pass without gradient."""


def hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """The final hidden states [B, T, d], as the model's head takes them."""
    states: Tensor = model.base_model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).last_hidden_state
    return states


class _ReachedError(Exception):
    """Stops a forward at a layer, whose input it carries [B, T, d]."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


def layer_states(model: PreTrainedModel, batch: Batch, layer: int) -> Tensor:
    """`hidden_states[layer]` [B, T, d], the output of the first `layer` blocks; those above it are not run."""
    blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) > layer)
    handle = blocks[layer].register_forward_pre_hook(_stop, with_kwargs=True)
    try:
        hidden_states(model, batch)
    except _ReachedError as reached:
        return reached.states
    finally:
        handle.remove()
    raise AssertionError(f"the forward never came to layer {layer}")


def _stop(block: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
    raise _ReachedError(args[0] if args else kwargs["hidden_states"])


def head_of(model: PreTrainedModel) -> nn.Module:
    """The output layer, from hidden states to logits, with its bias."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Module)
    return head


def label_logp(head: nn.Module, hidden: Tensor, label: Tensor) -> Tensor:
    """Log-probability of each label [N], float32, from the hidden states [N, d] that predict it, with gradient."""
    if len(hidden) <= CHUNK:
        return _chunk_logp(head, hidden, label)
    parts = zip(hidden.split(CHUNK), label.split(CHUNK), strict=True)
    # Logits of a chunk are made again in the backward pass, so that only one chunk's are ever held.
    return torch.cat([checkpoint(_chunk_logp, head, h, y, use_reentrant=False) for h, y in parts])


def _chunk_logp(head: nn.Module, hidden: Tensor, label: Tensor) -> Tensor:
    logits: Tensor = head(hidden).float()
    return logits.gather(1, label[:, None])[:, 0] - logits.logsumexp(1)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a model says of the answer tokens of some rows, in row order: N tokens of B rows, on the CPU.

    Attributes:
        row: row of each token [N].
        logp: log-probability of each label [N], float32.
        hit: whether the label is the most probable token [N], bool.
    """

    row: Tensor
    logp: Tensor
    hit: Tensor


@torch.no_grad()
def label_statistics(model: PreTrainedModel, rows: Sequence[Encoded]) -> Labels:
    """One teacher-forced pass over the rows' real tokens, sorted by length so that little is padded."""
    n = torch.tensor([len(row.labels) for row in rows])
    first = n.cumsum(0) - n
    logp, hit = torch.empty(int(n.sum())), torch.empty(int(n.sum()), dtype=torch.bool)
    for group in by_length([len(row.inputs) for row in rows], TOKENS):
        batch = collate([rows[i] for i in group], model.device)
        at = torch.cat([torch.arange(int(first[i]), int(first[i] + n[i])) for i in group])
        logp[at], hit[at] = (part.cpu() for part in _statistics(model, batch))
    return Labels(row=torch.arange(len(rows)).repeat_interleave(n), logp=logp, hit=hit)


def _statistics(model: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    hidden = hidden_states(model, batch)[batch.row, batch.position]
    chunks = zip(hidden.split(CHUNK), batch.label.split(CHUNK), strict=True)
    parts = [_chunk_statistics(head_of(model), h, y) for h, y in chunks]
    return torch.cat([logp for logp, _ in parts]), torch.cat([hit for _, hit in parts])


def _chunk_statistics(head: nn.Module, hidden: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float()
    return logits.gather(1, label[:, None])[:, 0] - logits.logsumexp(1), logits.argmax(1) == label
