"""The reference's outputs for the rows, computed once and cached, so that no trial holds a second model.

Label log-probabilities, final hidden states and a frozen copy of the head yield the reference's exact distribution.
This holds only for models whose logits are their head applied to their final hidden states: it is checked, and a model
that caps or scales its logits is rejected.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from eval.models.forward import TOKENS, head_is_last, head_of, hidden_states, label_logp
from eval.rows.encode import Encoded, by_length, collate, encode_refusals, encode_rows
from eval.rows.types import Dataset
from sweep.config.schema import Template
from sweep.errors import ConfigError
from sweep.training.distributed import computed, each_of, rank, whole

FILE = "reference.safetensors"


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The reference's outputs for the answer tokens of some rows.

    Attributes:
        logp: label log-probabilities [N].
        hidden: final hidden states that predict them [N, d].
    """

    logp: Tensor
    hidden: Tensor


@dataclass(frozen=True, kw_only=True)
class Said:
    """The reference's outputs for the answer tokens of every row.

    Attributes:
        logp: label log-probabilities of each row [n].
        hidden: final hidden states that predict them, of each row [n, d].
    """

    logp: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]

    def of(self, rows: Sequence[int], device: torch.device) -> Tokens:
        """Return the outputs for the tokens of the chosen rows, in their order, on the device."""
        logp, hidden = (torch.cat([part[i] for i in rows]).to(device) for part in (self.logp, self.hidden))
        return Tokens(logp=logp, hidden=hidden)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference's cached outputs, memory-mapped, and its head; both have the type in which the head computes.

    Attributes:
        head: the output layer, frozen.
        forget: its outputs for the forget rows' answers.
        refusal: its outputs for the refusals.
        retain: final hidden states of each retain row [T, d].
    """

    head: nn.Module
    forget: Said
    refusal: Said
    retain: tuple[Tensor, ...]

    def retain_hidden(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Return the final hidden states of the chosen retain rows, concatenated along positions [P, d]."""
        return torch.cat([self.retain[i] for i in rows]).to(device)

    @torch.no_grad()
    def logits(self, tokens: Tokens) -> Tensor:
        """Return the logits that predict the tokens [N, V], in float32."""
        logits: Tensor = self.head(tokens.hidden)
        return logits.float()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The rows of unlearning, as tokens, for which the reference's outputs are cached.

    Attributes:
        forget: the forget rows.
        refusals: the forget rows' questions, each with a refusal as the answer.
        retain: the retain rows.
        min_length: positions to which retain rows are padded at least; 0: not padded.
    """

    forget: Sequence[Encoded]
    refusals: Sequence[Encoded]
    retain: Sequence[Encoded]
    length: int

    @property
    def positions(self) -> list[int]:
        """Number of positions of each retain row, padding included."""
        return [max(self.length, len(row.inputs)) for row in self.retain]


def read(folder: Path, model: PreTrainedModel, asked: Asked) -> Reference:
    """Read what `write_reference` wrote for these rows; copy the head from `model`, which holds the reference."""
    tensors = load_file(folder / FILE)
    return Reference(
        head=frozen(head_of(model), tensors["retain.hidden"].dtype),
        forget=_said(tensors, "forget", asked.forget),
        refusal=_said(tensors, "refusal", asked.refusals),
        retain=tensors["retain.hidden"].split(asked.positions),
    )


def frozen(head: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Copy the head without gradients, with its weights in `dtype` and in full on every process."""
    own = {id(p): whole(p.detach()).to(dtype, copy=True) for p in head.parameters()}
    return copy.deepcopy(head, {place: nn.Parameter(weight, requires_grad=False) for place, weight in own.items()})


def _said(tensors: dict[str, Tensor], name: str, rows: Sequence[Encoded]) -> Said:
    n = [len(row.labels) for row in rows]
    return Said(logp=tensors[f"{name}.logp"].split(n), hidden=tensors[f"{name}.hidden"].split(n))


def write(folder: Path, model: PreTrainedModel, asked: Asked, dtype: torch.dtype) -> None:
    """Compute the reference's outputs and save them in a folder.

    Hidden states are saved in `dtype`, the type in which the head computes, so that nothing is lost. All of several
    processes compute, and process 0 saves.

    Raises:
        ConfigError: the model's logits are not its head applied to its final hidden states.
    """
    check_head(model, asked.forget[:1])
    tensors = {"retain.hidden": torch.cat(_states(model, asked.retain, asked.length, dtype))}
    for name, rows in (("forget", asked.forget), ("refusal", asked.refusals)):
        states = _states(model, rows, 0, dtype)
        hidden = torch.cat([state[row.start - 1 :] for row, state in zip(rows, states, strict=True)])
        tensors |= {f"{name}.hidden": hidden, f"{name}.logp": _logp(model, hidden, rows)}
    if rank() == 0:
        save_file(tensors, folder / FILE)


@torch.no_grad()
def check_head(model: PreTrainedModel, rows: Sequence[Encoded]) -> None:
    """Reject a model whose logits are not its head applied to its final hidden states.

    Raises:
        ConfigError: the logits differ (the model caps or scales them).
    """
    if not computed(model, partial(head_is_last, model, rows)):
        raise ConfigError(
            f"model {model.config.name_or_path or model.config.model_type!r}: its logits are not its head applied to"
            " its final hidden states (it caps or scales them), so the reference cannot be cached: choose another."
        )


@torch.no_grad()
def _states(model: PreTrainedModel, rows: Sequence[Encoded], length: int, dtype: torch.dtype) -> list[Tensor]:
    """Return the final hidden states of each row [T, d] on the CPU, T being at least `length` (padded)."""

    def states(group: Sequence[int]) -> Tensor:
        return hidden_states(model, collate([rows[i] for i in group], model.device, length)).to("cpu", dtype)

    found: list[Tensor] = [torch.empty(0)] * len(rows)
    groups = by_length([max(length, len(row.inputs)) for row in rows], TOKENS)
    for group, said in zip(groups, each_of(model)(states, groups), strict=True):
        for i, row in zip(group, said, strict=True):
            found[i] = row[: max(length, len(rows[i].inputs))]
    return found


@torch.no_grad()
def _logp(model: PreTrainedModel, hidden: Tensor, rows: Sequence[Encoded]) -> Tensor:
    label = torch.tensor([label for row in rows for label in row.labels], device=model.device)
    return computed(model, lambda: label_logp(head_of(model), hidden.to(model.device), label).cpu())


PADDED = 500
"""Positions to which the paper's code pads every row."""


def asked(template: Template, reduction: str, dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> Asked:
    """Encode the rows that unlearning trains on as tokens."""
    return Asked(
        forget=tuple(encode_rows(tokenizer, template, dataset.forget)),
        refusals=tuple(encode_refusals(tokenizer, template, dataset.forget)),
        retain=tuple(encode_rows(tokenizer, template, dataset.retain)),
        length=PADDED if reduction == "padded500" else 0,
    )
