"""The loss of a step in parts: an objective's forget term and the retain term, over one batch of rows each.

Each part is the sum over a micro-batch divided by the count of the whole batch, so that any split results in the same
step. The same holds for several processes: a batch's rows are divided among them, and the loss is the sum of all parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from eval.models.forward import MAX_CHUNK_POSITIONS, hidden_states, label_logp, layer_states
from eval.models.logits import output_layer, to_float32
from eval.rows.encode import Batch, EncodedRow, collate, group_by_length
from objectives._base import Answers, Objective
from sweep.config.schema import RetainConfig, SweepConfig
from sweep.training.distributed import balance_by_length, rank, world_size
from sweep.training.reference import CachedOutputs, Reference, TrainingRows, select_rows


@runtime_checkable
class LayerObjective(Protocol):
    """An objective whose `needs` names `hidden`, and which therefore has a layer."""

    @property
    def layer(self) -> int:
        """The layer whose hidden states the objective reads."""


def split_micro_batches(
    rows: Sequence[EncodedRow], chosen: Sequence[int], tokens: int, length: int = 0
) -> Iterator[list[int]]:
    """Split the chosen rows into groups of similar length, each of one row or at most `tokens` padded positions."""
    for group in group_by_length([max(length, len(rows[i].inputs)) for i in chosen], tokens):
        yield [chosen[place] for place in group]


def deal_micro_batches(
    rows: Sequence[EncodedRow], chosen: Sequence[int], tokens: int, length: int, n_ranks: int
) -> list[list[list[int]]]:
    """Divide the chosen rows among processes, each with about as many positions; return the micro-batches of each."""
    dealt = balance_by_length([max(length, len(rows[i].inputs)) for i in chosen], n_ranks)
    return [list(split_micro_batches(rows, [chosen[place] for place in hand], tokens, length)) for hand in dealt]


def plan_passes(
    rows: Sequence[EncodedRow], chosen: Sequence[int], tokens: int, length: int = 0
) -> Iterator[tuple[list[int], float]]:
    """Yield this process's micro-batches of the chosen rows, each with its weight: 1, or 0 for a filler pass.

    All processes have the same number of passes, since they gather sharded weights together: a process with fewer
    repeats the shortest row with weight 0.
    """
    groups = deal_micro_batches(rows, chosen, tokens, length, world_size())
    yield from ((group, 1.0) for group in groups[rank()])
    shortest = min(chosen, key=lambda i: len(rows[i].inputs))
    for _ in range(max(map(len, groups)) - len(groups[rank()])):
        yield [shortest], 0.0


def nll_parts(
    model: PreTrainedModel, rows: Sequence[EncodedRow], chosen: Sequence[int], tokens: int
) -> Iterator[Tensor]:
    """Yield ⟨CE⟩ in parts: the mean cross-entropy over the chosen rows' answer tokens, `tokens` positions a pass."""
    count = sum(len(rows[i].labels) for i in chosen)
    for group, weight in plan_passes(rows, chosen, tokens):
        batch = collate([rows[i] for i in group], model.device)
        yield -weight * (label_logp(output_layer(model), _answer_states(model, batch), batch.label).sum() / count)


def _answer_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Return the final hidden states [N, d] at the positions that predict the answer tokens."""
    return hidden_states(model, batch)[batch.row, batch.position]


@dataclass(frozen=True, kw_only=True)
class AnsweredPart:
    """A part of the forget term with the answers that it was computed from.

    Attributes:
        answers: what the objective read.
        share: factor of the objective's sum over the answers: 1 / the units of all chosen rows, 0 for a filler pass.
        loss: the part.
    """

    answers: Answers
    share: float
    loss: Tensor


@dataclass(frozen=True, kw_only=True)
class ForgetTerm:
    """The forget term: an objective over the forget rows. It computes only the quantities that `needs` names.

    Attributes:
        objective: maps the answers to a loss per token or per row.
        rows: the forget rows.
        refusals: the same questions with a refusal as the answer.
        reference: the reference's cached outputs.
        direction: RMU's direction [d].
        tokens: maximum of padded positions in one forward pass; larger batches are split.
    """

    objective: Objective
    rows: Sequence[EncodedRow]
    refusals: Sequence[EncodedRow]
    reference: Reference
    direction: Tensor
    tokens: int

    def loss_parts(self, model: PreTrainedModel, chosen: Sequence[int]) -> Iterator[Tensor]:
        """Yield parts of the objective's mean over the chosen rows, or over their answer tokens (`unit`)."""
        return (part.loss for part in self.answered_parts(model, chosen))

    def answered_parts(self, model: PreTrainedModel, chosen: Sequence[int]) -> Iterator[AnsweredPart]:
        """Yield the same parts with their answers."""
        tokens = min(MAX_CHUNK_POSITIONS, self.tokens) if "logits" in self.objective.needs else self.tokens
        count = self.count_units(chosen)
        for group, weight in plan_passes(self.rows, chosen, tokens):
            answers = self._build_answers(model, group)
            yield AnsweredPart(
                answers=answers, share=weight / count, loss=weight * (self.objective(answers).sum() / count)
            )

    def count_units(self, chosen: Sequence[int]) -> int:
        """Count what the objective is averaged over: the chosen rows, or their answer tokens (`unit`)."""
        if self.objective.unit == "row":
            return len(chosen)
        read = self.refusals if "refusal" in self.objective.needs else self.rows
        return sum(len(read[i].labels) for i in chosen)

    def _build_answers(self, model: PreTrainedModel, group: Sequence[int]) -> Answers:
        needs = self.objective.needs
        answers = self._read_answers(model, group, self.rows, self.reference.forget, needs)
        if "refusal" not in needs:
            return answers
        own = needs & {"ref_logp"} | {"logp"}
        return replace(answers, refusal=self._read_answers(model, group, self.refusals, self.reference.refusal, own))

    def _read_answers(
        self,
        model: PreTrainedModel,
        group: Sequence[int],
        rows: Sequence[EncodedRow],
        cached: CachedOutputs,
        needs: frozenset[str],
    ) -> Answers:
        """Compute what `needs` names for the answers of some rows, with the reference's cached outputs for them."""
        batch = collate([rows[i] for i in group], model.device)
        states = _answer_states(model, batch) if needs & {"logp", "logits"} else None
        logp = label_logp(output_layer(model), states, batch.label) if states is not None and "logp" in needs else None
        ref_logp = select_rows(cached.logp, group, model.device) if "ref_logp" in needs else None
        ref_hidden = select_rows(cached.hidden, group, model.device) if "ref_logits" in needs else None
        return Answers(
            row=batch.row,
            label=batch.label,
            n=batch.n,
            logp=logp,
            nll=None if logp is None else sum_by_row(-logp, batch),
            ref_logp=ref_logp,
            ref_nll=None if ref_logp is None else sum_by_row(-ref_logp, batch),
            logits=output_layer(model)(states) if states is not None and "logits" in needs else None,
            ref_logits=None if ref_hidden is None else self.reference.compute_logits(ref_hidden),
            hidden=self._layer_states(model, batch) if "hidden" in needs else None,
            direction=self.direction if "direction" in needs else None,
        )

    def _layer_states(self, model: PreTrainedModel, batch: Batch) -> Tensor:
        assert isinstance(self.objective, LayerObjective), "an objective that needs `hidden` has a field `layer`"
        return to_float32(layer_states(model, batch, self.objective.layer)[batch.row, batch.position])


def sum_by_row(values: Tensor, batch: Batch) -> Tensor:
    """Sum the values [N] of the answer tokens over each row, to [B]."""
    return values.new_zeros(len(batch.ids)).index_add(0, batch.row, values)


@dataclass(frozen=True, kw_only=True)
class NoRetainTerm:
    """The retain term of `retain.term: none`: no loss."""

    def loss_parts(self, model: PreTrainedModel, chosen: Sequence[int]) -> Iterator[Tensor]:
        """Yield no parts."""
        return iter(())


@dataclass(frozen=True, kw_only=True)
class NLLRetainTerm:
    """The retain term of `retain.term: nll`: weight · ⟨CE⟩ on retain rows, `tokens` positions a pass."""

    rows: Sequence[EncodedRow]
    weight: float
    tokens: int

    def loss_parts(self, model: PreTrainedModel, chosen: Sequence[int]) -> Iterator[Tensor]:
        """Yield parts of the weighted mean over the answer tokens of the chosen rows."""
        for part in nll_parts(model, self.rows, chosen, self.tokens):
            yield self.weight * part


@dataclass(frozen=True, kw_only=True)
class KLRetainTerm:
    """The retain term of `retain.term: kl`: weight · KL(reference ‖ model), mean over positions of retain rows.

    Attributes:
        rows: the retain rows.
        weight: factor of the mean.
        reference: the reference's cached outputs.
        min_length: 0 averages over real positions; 500 pads every row and averages over all, as the paper's code does.
        tokens: maximum of padded positions in one forward pass; larger batches are split.
    """

    rows: Sequence[EncodedRow]
    weight: float
    reference: Reference
    min_length: int
    tokens: int

    def loss_parts(self, model: PreTrainedModel, chosen: Sequence[int]) -> Iterator[Tensor]:
        """Yield parts of the weighted mean over the positions of the chosen rows."""
        positions = sum(self._count_positions(i) for i in chosen)
        for group, weight in plan_passes(self.rows, chosen, self.tokens, self.min_length):
            batch = collate([self.rows[i] for i in group], model.device, self.min_length)
            states = hidden_states(model, batch)
            hidden = torch.cat([row[: self._count_positions(i)] for i, row in zip(group, states, strict=True)])
            ref = select_rows(self.reference.retain, group, model.device)
            yield weight * (self.weight * sum_kl(output_layer(model), hidden, self.reference.head, ref) / positions)

    def _count_positions(self, row: int) -> int:
        return max(self.min_length, len(self.rows[row].inputs))


RetainTerm = NoRetainTerm | NLLRetainTerm | KLRetainTerm


def build_terms(
    config: SweepConfig,
    objective: Objective,
    seed: int,
    model: PreTrainedModel,
    training_rows: TrainingRows,
    reference: Reference,
) -> tuple[ForgetTerm, RetainTerm]:
    """Build the forget term and the retain term of a trial's loss; RMU's direction is drawn from the seed."""
    return combine_terms(config.retain, config.train.tokens, objective, seed, model, training_rows, reference)


def combine_terms(
    retain: RetainConfig,
    tokens: int,
    objective: Objective,
    seed: int,
    model: PreTrainedModel,
    training_rows: TrainingRows,
    reference: Reference,
) -> tuple[ForgetTerm, RetainTerm]:
    """Combine an objective with a retain term, each over its rows, `tokens` positions a pass."""
    direction = torch.rand(model.config.hidden_size, generator=torch.Generator().manual_seed(seed))
    forget = ForgetTerm(
        objective=objective,
        rows=training_rows.forget,
        refusals=training_rows.refusals,
        reference=reference,
        direction=direction.to(model.device),
        tokens=tokens,
    )
    return forget, _build_retain_term(retain, tokens, training_rows, reference)


def _build_retain_term(
    retain: RetainConfig, tokens: int, training_rows: TrainingRows, reference: Reference
) -> RetainTerm:
    rows, weight = training_rows.retain, retain.weight
    if retain.term == "kl":
        return KLRetainTerm(
            rows=rows, weight=weight, reference=reference, min_length=training_rows.min_length, tokens=tokens
        )
    return NLLRetainTerm(rows=rows, weight=weight, tokens=tokens) if retain.term == "nll" else NoRetainTerm()


def sum_kl(head: nn.Module, hidden: Tensor, ref_head: nn.Module, ref_hidden: Tensor) -> Tensor:
    """Sum KL(reference ‖ model) over the vocabulary and all positions, in chunks, from hidden states [N, d] of both."""
    if len(hidden) <= MAX_CHUNK_POSITIONS:
        return _sum_chunk_kl(head, hidden, ref_head, ref_hidden)
    parts = zip(hidden.split(MAX_CHUNK_POSITIONS), ref_hidden.split(MAX_CHUNK_POSITIONS), strict=True)
    return torch.stack([checkpoint(_sum_chunk_kl, head, h, ref_head, r, use_reentrant=False) for h, r in parts]).sum()


def _sum_chunk_kl(head: nn.Module, hidden: Tensor, ref_head: nn.Module, ref_hidden: Tensor) -> Tensor:
    logp = to_float32(head(hidden)).log_softmax(1)
    ref_logp = to_float32(ref_head(ref_hidden)).log_softmax(1)
    return nn.functional.kl_div(logp, ref_logp, reduction="sum", log_target=True)
