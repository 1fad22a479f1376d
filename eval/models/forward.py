"""Teacher-forced forward pass: statistics of each answer token, without ever holding logits [B, T, V]."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from eval.models.logits import body_of, head_of, output_layer, to_float32
from eval.rows.encode import Batch, EncodedRow, collate, group_by_length
from eval.rows.types import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedModel  # takes seconds to import


MAX_CHUNK_POSITIONS = 1024
"""Positions whose logits are held at once."""
MAX_PASS_POSITIONS = 4096
"""Padded positions of one forward pass without gradient."""
PROBE_LOGIT = 100.0
"""Largest output of the head at which the logits are compared: more than three times the caps in use."""
MAX_PROBE_ERROR = 0.02
"""Maximum error of a logit there, as a share of the largest: bfloat16 rounds by 0.004, a missing cap shows as 2."""
MIN_DEVIATION = 1e-6
"""Lower bound of the deviation of ln p, so that it can be divided by even where one token has all of p."""

Found = TypeVar("Found")
Group = TypeVar("Group")


class MapFn(Protocol):
    """Map over groups of rows: the built-in `map`, or one that distributes the groups over several processes."""

    def __call__(self, work: Callable[[Group], Found], groups: Sequence[Group], /) -> Iterable[Found]:
        """Return the result of the work for each group, in the order of the groups."""


def hidden_states(model: "PreTrainedModel", batch: Batch) -> Tensor:
    """Return the final hidden states [B, T, d], the input of the model's head."""
    body = body_of(model)
    states: Tensor = body(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).last_hidden_state
    return states


def find_blocks(model: "PreTrainedModel") -> nn.ModuleList:
    """Return the model's layers, from the first to the last.

    Raises:
        DataError: they are not one list of modules, so that the input of one of them cannot be read.
    """
    n_layers = model.config.num_hidden_layers
    found = (m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == n_layers)
    if (layers := next(found, None)) is None:
        kind = model.config.model_type
        raise DataError(f"a model of type {kind} has no list of its {n_layers} layers: choose another")
    return layers


class _ReachedError(Exception):
    """Stop a forward pass at a layer; carries the layer's input [B, T, d]."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states


def layer_states(model: "PreTrainedModel", batch: Batch, layer: int) -> Tensor:
    """Return `hidden_states[layer]` [B, T, d], the output of the first `layer` blocks; those above are not run."""
    handle = find_blocks(model)[layer].register_forward_pre_hook(_stop_forward, with_kwargs=True)
    try:
        hidden_states(model, batch)
    except _ReachedError as reached:
        return reached.states
    finally:
        handle.remove()
    raise AssertionError(f"the forward never came to layer {layer}")


def _stop_forward(block: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
    raise _ReachedError(args[0] if args else kwargs["hidden_states"])


@torch.no_grad()
def has_known_logits(model: "PreTrainedModel", rows: Sequence[EncodedRow]) -> bool:
    """Return True if the logits are the `output_layer` of the final hidden states, which all functions here assume.

    The states are first made so large that the head's outputs reach `PROBE_LOGIT`: random weights would give logits too
    small for a cap to show.
    """
    batch = collate(rows, model.device)
    head, states = head_of(model), hidden_states(model, batch)
    if head.get_parameter("weight").shape[-1] != states.shape[-1]:
        return False
    scale = PROBE_LOGIT / (float(head(states).abs().max()) or PROBE_LOGIT)
    handle = head.register_forward_pre_hook(lambda _, inputs: (inputs[0] * scale, *inputs[1:]))
    try:
        ours = output_layer(model)(states)
        # The full forward comes last: a model that several processes share frees its gathered weights at its end.
        logits = model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits.float()
    finally:
        handle.remove()
    error = MAX_PROBE_ERROR * float(ours.abs().nan_to_num().max())  # weights may be NaN, as those of a diverged model
    return logits.shape == ours.shape and torch.allclose(logits, ours, rtol=0, atol=error, equal_nan=True)


def label_logp(head: nn.Module, hidden: Tensor, label: Tensor) -> Tensor:
    """Return the log-probability of each label [N], float32 or float64, with gradient, from the hidden states [N, d].

    Args:
        head: the model's `output_layer`, or a head whose logits are neither scaled nor capped.
        hidden: the final hidden states [N, d].
        label: the labels [N].
    """
    if len(hidden) <= MAX_CHUNK_POSITIONS:
        return _chunk_logp(head, hidden, label)
    parts = zip(hidden.split(MAX_CHUNK_POSITIONS), label.split(MAX_CHUNK_POSITIONS), strict=True)
    # The backward pass computes each chunk's logits again, so that those of only one chunk are held at a time.
    return torch.cat([checkpoint(_chunk_logp, head, h, y, use_reentrant=False) for h, y in parts])


def _chunk_logp(head: nn.Module, hidden: Tensor, label: Tensor) -> Tensor:
    # Not the logit minus `logsumexp`: where p is near 1, that difference has only the precision of the logit.
    logp: Tensor = to_float32(head(hidden)).log_softmax(1)
    return logp.gather(1, label[:, None])[:, 0]


@dataclass(frozen=True, kw_only=True)
class LabelStatistics:
    """Statistics of the answer tokens of some rows, in row order: N tokens of B rows, on the CPU.

    Attributes:
        row: row of each token [N].
        logp: log-probability of each label [N], float32.
        hit: True where the label is the most probable token [N], bool.
    """

    row: Tensor
    logp: Tensor
    hit: Tensor


@dataclass(frozen=True, kw_only=True)
class DistributionStatistics(LabelStatistics):
    """Statistics of the answer tokens, with mean and deviation of ln p over the vocabulary, each token weighted by p.

    Attributes:
        mean: E[ln p] at each answer token [N], float64.
        deviation: standard deviation of ln p [N], float64, at least `MIN_DEVIATION`.
    """

    mean: Tensor
    deviation: Tensor

    def split_rows(self, sizes: Sequence[int]) -> "list[DistributionStatistics]":
        """Split into the first `sizes[0]` rows, the next `sizes[1]` and so on; each part counts its rows from 0."""
        first = [0, *accumulate(sizes)]
        tokens = torch.searchsorted(self.row, torch.tensor(first))
        n = tokens.diff().tolist()
        columns = (self.row, self.logp, self.hit, self.mean, self.deviation)
        parts = zip(first, *(column.split(n) for column in columns), strict=False)
        return [
            DistributionStatistics(row=row - start, logp=logp, hit=hit, mean=mean, deviation=deviation)
            for start, row, logp, hit, mean, deviation in parts
        ]


def label_statistics(model: "PreTrainedModel", rows: Sequence[EncodedRow], each: MapFn = map) -> LabelStatistics:
    """Compute the statistics of all labels in one pass over the rows, sorted by length so that little is padded."""
    logp, hit = _collect_statistics(model, rows, _score_labels, each)
    return LabelStatistics(row=_row_of_tokens(rows), logp=logp, hit=hit)


def distribution_statistics(
    model: "PreTrainedModel", rows: Sequence[EncodedRow], each: MapFn = map
) -> DistributionStatistics:
    """Compute the statistics of all labels in the same single pass, with those over the whole vocabulary."""
    logp, hit, mean, deviation = _collect_statistics(model, rows, _score_vocabulary, each)
    return DistributionStatistics(row=_row_of_tokens(rows), logp=logp, hit=hit, mean=mean, deviation=deviation)


def _row_of_tokens(rows: Sequence[EncodedRow]) -> Tensor:
    n = [len(row.labels) for row in rows]
    return torch.arange(len(rows)).repeat_interleave(torch.tensor(n), output_size=sum(n))


StatisticsFn = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""Function from logits [n, V], float32, and labels [n] to columns of statistics of the tokens [n]."""


def _collect_statistics(
    model: "PreTrainedModel", rows: Sequence[EncodedRow], statistics: StatisticsFn, each: MapFn
) -> list[Tensor]:
    """Compute the columns of `statistics` for all answer tokens, on the CPU, in row order."""
    first = [0, *accumulate(len(row.labels) for row in rows)]
    groups = group_by_length([len(row.inputs) for row in rows], MAX_PASS_POSITIONS)
    found = each(partial(_run_group, model, rows, statistics), groups)
    order = torch.cat([torch.arange(first[i], first[i + 1]) for group in groups for i in group]).argsort()
    return [torch.cat(column)[order] for column in zip(*found, strict=True)]


@torch.no_grad()
def _run_group(
    model: "PreTrainedModel", rows: Sequence[EncodedRow], statistics: StatisticsFn, group: Sequence[int]
) -> list[Tensor]:
    batch = collate([rows[i] for i in group], model.device)
    hidden = hidden_states(model, batch)[batch.row, batch.position]
    chunks = zip(hidden.split(MAX_CHUNK_POSITIONS), batch.label.split(MAX_CHUNK_POSITIONS), strict=True)
    parts = [statistics(output_layer(model)(h), label) for h, label in chunks]
    return [torch.cat(column).cpu() for column in zip(*parts, strict=True)]


def _score_labels(logits: Tensor, label: Tensor) -> tuple[Tensor, ...]:
    return logits.gather(1, label[:, None])[:, 0] - logits.logsumexp(1), logits.argmax(1) == label


def _score_vocabulary(logits: Tensor, label: Tensor) -> tuple[Tensor, ...]:
    # In float64: where one token has nearly all of p, the spread is far below float32's steps of ln p near 0.
    logp = logits.double().log_softmax(1)
    p = logp.exp()
    mean = (p * logp).sum(1)
    deviation = (p * (logp - mean[:, None]) ** 2).sum(1).sqrt().clamp(min=MIN_DEVIATION)
    return *_score_labels(logits, label), mean, deviation
