"""The reference's outputs for the rows, computed once and cached, so that no trial holds a second model.

Label log-probabilities, final hidden states and a frozen output layer (a copy, unless the model's own is frozen) yield
the reference's exact distribution. This holds for models whose logits are their `output_layer` of their final hidden
states, which preparation checks.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import MAX_PASS_POSITIONS, hidden_states, label_logp
from eval.models.logits import output_layer
from eval.rows.encode import EncodedRow, collate, encode_refusals, encode_rows, group_by_length
from eval.rows.types import Dataset
from sweep.config.template import Template
from sweep.training.distributed import distributed_map, full_tensor, rank, run_with_weights

REFERENCE_FILE = "reference.safetensors"
PAPER_PADDED_POSITIONS = 500
"""Positions to which the paper's code pads every row."""


@dataclass(frozen=True, kw_only=True)
class CachedOutputs:
    """The reference's outputs for the answer tokens of every row.

    Attributes:
        logp: label log-probabilities of each row [n].
        hidden: final hidden states that predict them, of each row [n, d].
    """

    logp: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]


def select_rows(cached: Sequence[Tensor], rows: Sequence[int], device: torch.device) -> Tensor:
    """Return the cached tensors of the chosen rows on the device, concatenated in their order."""
    return torch.cat([cached[i] for i in rows]).to(device)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference's cached outputs, memory-mapped, and its head; both have the type in which the head computes.

    Attributes:
        head: the model's `output_layer`, frozen.
        forget: its outputs for the forget rows' answers.
        refusal: its outputs for the refusals.
        retain: final hidden states of each retain row [T, d].
    """

    head: nn.Module
    forget: CachedOutputs
    refusal: CachedOutputs
    retain: tuple[Tensor, ...]

    @torch.no_grad()
    def compute_logits(self, hidden: Tensor) -> Tensor:
        """Return the reference's logits [N, V], in float32, from its final hidden states [N, d]."""
        logits: Tensor = self.head(hidden)
        return logits


@dataclass(frozen=True, kw_only=True)
class TrainingRows:
    """The rows of unlearning, as tokens, for which the reference's outputs are cached.

    Attributes:
        forget: the forget rows.
        refusals: the forget rows' questions, each with a refusal as the answer.
        retain: the retain rows.
        min_length: positions to which retain rows are padded at least; 0: not padded.
    """

    forget: Sequence[EncodedRow]
    refusals: Sequence[EncodedRow]
    retain: Sequence[EncodedRow]
    min_length: int

    @property
    def retain_lengths(self) -> list[int]:
        """Number of positions of each retain row, padding included."""
        return [max(self.min_length, len(row.inputs)) for row in self.retain]


def read_reference(folder: Path, model: PreTrainedModel, training_rows: TrainingRows) -> Reference:
    """Read what `write_reference` wrote for these rows; take the head from `model`, which holds the reference."""
    tensors = load_file(folder / REFERENCE_FILE)
    return Reference(
        head=take_frozen_head(output_layer(model), tensors["retain.hidden"].dtype),
        forget=_split_outputs(tensors, "forget", training_rows.forget),
        refusal=_split_outputs(tensors, "refusal", training_rows.refusals),
        retain=tensors["retain.hidden"].split(training_rows.retain_lengths),
    )


def take_frozen_head(head: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return the head itself where adapters are trained, so that its weights stay as they are; else a frozen copy."""
    return copy_frozen_head(head, dtype) if any(p.requires_grad for p in head.parameters()) else head


def copy_frozen_head(head: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy the head without gradients, with its weights in `dtype` and in full on every process."""
    own = {id(p): full_tensor(p.detach()).to(dtype, copy=True) for p in head.parameters()}
    return copy.deepcopy(head, {place: nn.Parameter(weight, requires_grad=False) for place, weight in own.items()})


def _split_outputs(tensors: dict[str, Tensor], name: str, rows: Sequence[EncodedRow]) -> CachedOutputs:
    n = [len(row.labels) for row in rows]
    return CachedOutputs(logp=tensors[f"{name}.logp"].split(n), hidden=tensors[f"{name}.hidden"].split(n))


def write_reference(folder: Path, model: PreTrainedModel, training_rows: TrainingRows, dtype: torch.dtype) -> None:
    """Compute the reference's outputs and save them in a folder.

    Hidden states are saved in `dtype`, the type in which the head computes, so that nothing is lost. All of several
    processes compute, and process 0 saves.
    """
    tensors = {
        "retain.hidden": torch.cat(_compute_states(model, training_rows.retain, training_rows.min_length, dtype))
    }
    for name, rows in (("forget", training_rows.forget), ("refusal", training_rows.refusals)):
        states = _compute_states(model, rows, 0, dtype)
        hidden = torch.cat([state[row.start - 1 :] for row, state in zip(rows, states, strict=True)])
        tensors |= {f"{name}.hidden": hidden, f"{name}.logp": _compute_logp(model, hidden, rows)}
    if rank() == 0:
        save_file(tensors, folder / REFERENCE_FILE)


@torch.no_grad()
def _compute_states(
    model: PreTrainedModel, rows: Sequence[EncodedRow], length: int, dtype: torch.dtype
) -> list[Tensor]:
    """Return the final hidden states of each row [T, d] on the CPU, T being at least `length` (padded)."""

    def compute_group(group: Sequence[int]) -> Tensor:
        return hidden_states(model, collate([rows[i] for i in group], model.device, length)).to("cpu", dtype)

    found: list[Tensor] = [torch.empty(0)] * len(rows)
    groups = group_by_length([max(length, len(row.inputs)) for row in rows], MAX_PASS_POSITIONS)
    for group, said in zip(groups, distributed_map(model)(compute_group, groups), strict=True):
        for i, row in zip(group, said, strict=True):
            found[i] = row[: max(length, len(rows[i].inputs))]
    return found


@torch.no_grad()
def _compute_logp(model: PreTrainedModel, hidden: Tensor, rows: Sequence[EncodedRow]) -> Tensor:
    label = torch.tensor([label for row in rows for label in row.labels], device=model.device)
    return run_with_weights(model, lambda: label_logp(output_layer(model), hidden.to(model.device), label).cpu())


def encode_training_rows(
    template: Template, reduction: str, dataset: Dataset, tokenizer: PreTrainedTokenizerFast
) -> TrainingRows:
    """Encode the rows that unlearning trains on as tokens."""
    return TrainingRows(
        forget=tuple(encode_rows(tokenizer, template, dataset.forget)),
        refusals=tuple(encode_refusals(tokenizer, template, dataset.forget)),
        retain=tuple(encode_rows(tokenizer, template, dataset.retain)),
        min_length=PAPER_PADDED_POSITIONS if reduction == "padded500" else 0,
    )
