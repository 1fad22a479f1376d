"""Measure the gradient effects of a trial's loss at its current weights: by term of the loss, by layer and by row.

The forget rows of the loss and of its risk are the same ones, evenly chosen, in every measurement of every trial, so
that curves can be compared. Two gradients of risks are held for the time of a measurement, of which a training step has
one in any case: they have the type of the trained weights.
"""

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eval.g_effect import Gradient, measure_effects, stack_gradients, sum_thirds, take_gradient
from eval.rows.encode import EncodedRow
from eval.rows.types import choose_evenly
from sweep.config.schema import GEffectConfig
from sweep.records import GEffect, Risk, Term, TermEffect, WeightBin
from sweep.training.distributed import gather_objects, local_tensor, sum_gradients, sum_over_ranks
from sweep.training.loop import compute_parts
from sweep.training.loss_terms import ForgetTerm, RetainTerm, nll_parts

RISKS: tuple[Risk, ...] = ("forget", "retain")
"""Risks, in the order of the measured tensors."""
N_BINS = 10
"""Bins of the probability of a token, all of the same width."""
N_DIGITS = 8
"""Significant digits of a stored number."""


@dataclass(frozen=True, kw_only=True)
class MeasuredEffects:
    """Gradient effects as tensors in float64; the risks are those of `RISKS`, the places those of `place_weights`.

    Attributes:
        objective: effect of the objective, by forget row where each row's share was asked for, else of all as one
            [rows or 1, risks, L + 2].
        retain_term: effect of the retain term, with its weight [risks, L + 2].
        p: probability of each answer token of the forget rows [N]; none if the objective reads no `logp`.
        weight: the objective's weight of each of them [N].
    """

    objective: Tensor
    retain_term: Tensor
    p: Tensor
    weight: Tensor


@dataclass(frozen=True, kw_only=True)
class GEffectProbe:
    """The rows and the terms of which gradient effects are measured.

    Attributes:
        forget: the forget term.
        retain: the retain term.
        n_retain: number of retain rows.
        holdout: the holdout rows.
        options: how many rows of each part, and which shares are kept.
    """

    forget: ForgetTerm
    retain: RetainTerm
    n_retain: int
    holdout: Sequence[EncodedRow]
    options: GEffectConfig

    @property
    def forget_rows(self) -> list[int]:
        """Indices of the forget rows that are measured."""
        return choose_evenly(len(self.forget.rows), self.options.rows)

    def measure(self, model: PreTrainedModel, step: int) -> GEffect:
        """Measure the effects at the model's weights, which have no gradients, and describe them as after `step`."""
        return self._describe(self.measure_tensors(model), step)

    def measure_tensors(self, model: PreTrainedModel) -> MeasuredEffects:
        """Measure the effects at the model's weights, which have no gradients, before and afterwards."""
        risks = stack_gradients([self._compute_risk(model, rows) for rows in (self.forget.rows, self.holdout)])
        tokens: list[tuple[Tensor, Tensor]] = []
        chosen = self.forget_rows
        groups = [[row] for row in chosen] if "row" in self.options.by else [chosen]
        objective = (self._weigh_tokens(model, group, tokens) for group in groups)
        retained = choose_evenly(self.n_retain, self.options.rows)
        retain_term = compute_parts(model, self.retain.loss_parts(model, retained))
        effects = sum_over_ranks(measure_effects(model, risks, chain(objective, [retain_term]), local_tensor))
        p, weight = _gather_tokens(tokens)
        return MeasuredEffects(objective=effects[:-1], retain_term=effects[-1], p=p, weight=weight)

    def _compute_risk(self, model: PreTrainedModel, rows: Sequence[EncodedRow]) -> Gradient:
        """Compute the gradient of the mean cross-entropy over the chosen rows' answer tokens."""
        chosen = choose_evenly(len(rows), self.options.rows)
        parts = compute_parts(model, nll_parts(model, rows, chosen, self.forget.tokens))
        return take_gradient(model, parts, local_tensor, sum_gradients)

    def _weigh_tokens(
        self, model: PreTrainedModel, rows: Sequence[int], tokens: list[tuple[Tensor, Tensor]]
    ) -> Iterator[Tensor]:
        """Yield in parts what some rows have of the objective; note p and weight of each part's tokens.

        A weight is known once the part's backward pass is over, which the caller runs before it asks for the next part.
        """
        share = self.forget.count_units(rows) / self.forget.count_units(self.forget_rows)
        for part in compute_parts(model, self.forget.answered_parts(model, rows)):
            logp = part.answers.logp
            if logp is not None:
                logp.retain_grad()
            yield part.loss * share
            if logp is not None and logp.grad is not None and part.share:
                tokens.append((logp.detach().exp(), logp.grad / (part.share * share)))

    def _describe(self, found: MeasuredEffects, step: int) -> GEffect:
        """Describe measured effects in plain types."""
        has_rows = "row" in self.options.by
        effects = [
            self._describe_term("objective", risk, by_row.sum(0), by_row.sum(1).tolist() if has_rows else [])
            for risk, by_row in zip(RISKS, found.objective.unbind(1), strict=True)
        ]
        if found.retain_term.any():
            effects += [
                self._describe_term("retain_term", risk, by_place, [])
                for risk, by_place in zip(RISKS, found.retain_term, strict=True)
            ]
        return GEffect(
            step=step,
            effects=effects,
            rows=[row + 1 for row in self.forget_rows] if has_rows else [],
            weights=summarize_weights(found.p, found.weight),
        )

    def _describe_term(self, term: Term, risk: Risk, by_place: Tensor, rows: Sequence[float]) -> TermEffect:
        values = by_place.tolist()
        return TermEffect(
            risk=risk,
            term=term,
            whole=_round(sum(values)),
            parts={name: _round(value) for name, value in sum_thirds(values).items()},
            layers=[_round(value) for value in values[1:-1]] if "layer" in self.options.by else [],
            rows=[_round(value) for value in rows],
        )


def measure_before_steps(
    probe: GEffectProbe,
    model: PreTrainedModel,
    losses: Iterable[Iterable[Tensor]],
    due: Container[int],
    found: list[GEffect],
) -> Iterator[Iterable[Tensor]]:
    """Yield the losses of the steps; add the effects after so many steps as `due` names to `found` as they come.

    Effects that are not finite, as where a training diverges, are left out.
    """
    for n_steps, parts in enumerate(losses):
        if n_steps in due and is_finite(effect := probe.measure(model, n_steps)):
            found.append(effect)
        yield parts


def _gather_tokens(tokens: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return p and weight of all processes' tokens [N], on the CPU in float64."""
    together = [pair for own in gather_objects([(p.cpu(), weight.cpu()) for p, weight in tokens]) for pair in own]
    none = torch.empty(0)
    p, weight = (torch.cat([none, *(pair[i] for pair in together)]).double() for i in range(2))
    return p, weight


def summarize_weights(p: Tensor, weight: Tensor) -> list[WeightBin]:
    """Summarize the weights of tokens [N] with probabilities p [N] in bins of p; a bin without tokens is left out."""
    bins = (p * N_BINS).long().clamp(max=N_BINS - 1)
    found: list[WeightBin] = []
    for place in bins.unique().tolist():
        own = weight[bins == place]
        low, high = own.quantile(torch.tensor([0.1, 0.9], dtype=own.dtype)).tolist()
        found.append(
            WeightBin(p=place / N_BINS, n=len(own), mean=_round(float(own.mean())), low=_round(low), high=_round(high))
        )
    return found


def is_finite(effect: GEffect) -> bool:
    """Return True if all numbers are finite."""
    values = [one["whole"] for one in effect["effects"]] + [each["mean"] for each in effect["weights"]]
    return all(map(math.isfinite, values))


def _round(value: float) -> float:
    return float(f"{value:.{N_DIGITS}g}")
