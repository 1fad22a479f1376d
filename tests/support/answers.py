"""Toy inputs for the objectives: `Answers` made from logits, as the training loop fills them, and parts of them."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from objectives._base import Answers

WITH = {"logp": ("logp", "nll"), "ref_logp": ("ref_logp", "ref_nll")}
"""Fields of `Answers` that are filled for a need, where these are more than the need itself."""


def of_logits(logits: Tensor, ref_logits: Tensor, label: Tensor, n: Sequence[int]) -> Answers:
    """Answers of rows with n tokens each, from the logits [N, V] that predict the tokens."""
    row = torch.arange(len(n)).repeat_interleave(torch.tensor(n))
    logp, ref_logp = (values.log_softmax(1).gather(1, label[:, None])[:, 0] for values in (logits, ref_logits))
    return replace(of_logp(logp, ref_logp, n), row=row, label=label, logits=logits, ref_logits=ref_logits)


def of_logp(logp: Tensor, ref_logp: Tensor, n: Sequence[int]) -> Answers:
    """Answers of rows with n tokens each, from the label log-probabilities [N]."""
    row = torch.arange(len(n)).repeat_interleave(torch.tensor(n))
    return Answers(
        row=row,
        label=torch.zeros_like(row),
        n=torch.tensor(n),
        logp=logp,
        nll=by_row(-logp, row, len(n)),
        ref_logp=ref_logp,
        ref_nll=by_row(-ref_logp, row, len(n)),
    )


def by_row(values: Tensor, row: Tensor, rows: int) -> Tensor:
    """Sum the values [N] over the tokens of each row, to [B]."""
    return values.new_zeros(rows).index_add(0, row, values)


def random(n: Sequence[int], seed: int = 0, scale: float = 3.0) -> Answers:
    """Answers with every field filled, from random logits and hidden states of about size `scale`."""
    generator = torch.Generator().manual_seed(seed)
    logits, ref_logits = scale * torch.randn(2, 2 * sum(n), 5, generator=generator)
    label = torch.randint(5, (2 * sum(n),), generator=generator)
    return complete(logits, ref_logits, label, n, scale)


def extreme(n: Sequence[int], logit: Sequence[float], ref_logit: Sequence[float]) -> Answers:
    """Answers with every field filled, in which token 0, the label, has these logits [2N], and all others 0."""
    logits, ref_logits = (torch.tensor([[value, 0.0, 0.0] for value in values]) for values in (logit, ref_logit))
    return complete(logits, ref_logits, torch.zeros(2 * sum(n), dtype=torch.int64), n, 1e4)


def complete(logits: Tensor, ref_logits: Tensor, label: Tensor, n: Sequence[int], scale: float) -> Answers:
    """Answers from the first half of the tokens [2N], refusals from the second; logits and hidden states are leaves."""
    halves = zip(logits.chunk(2), ref_logits.chunk(2), label.chunk(2), (n, n[::-1]), strict=True)
    answer, refusal = (of_logits(z.clone().requires_grad_(), ref, y, tokens) for z, ref, y, tokens in halves)
    hidden = scale * torch.linspace(-1, 1, 4 * sum(n)).reshape(-1, 4).cos()
    return replace(answer, hidden=hidden.requires_grad_(), direction=torch.linspace(0, 0.9, 4), refusal=refusal)


def only(full: Answers, needs: frozenset[str]) -> Answers:
    """Keep only the fields that the loop fills for an objective with these needs, and the `logp` of any refusal."""
    kept = {"row", "label", "n"} | {part for need in needs for part in WITH.get(need, (need,))}
    answers = _changed(full, lambda name, part: part if name in kept else None)
    if full.refusal is None or "refusal" not in needs:
        return replace(answers, refusal=None)
    return replace(answers, refusal=only(full.refusal, needs & {"ref_logp"} | {"logp"}))


def rows_of(full: Answers, chosen: list[int]) -> Answers:
    """Select rows in this order, and number them anew; the graph leads to the same leaves."""
    at = torch.cat([torch.where(full.row == row)[0] for row in chosen])
    places: dict[str, list[int] | slice] = {"n": chosen, "nll": chosen, "ref_nll": chosen, "direction": slice(None)}
    taken = _changed(full, lambda name, part: part[places.get(name, at)])
    refusal = None if full.refusal is None else rows_of(full.refusal, chosen)
    return replace(taken, row=torch.arange(len(chosen)).repeat_interleave(full.n[chosen]), refusal=refusal)


def as_double(full: Answers) -> Answers:
    """Convert the answers to float64, detached from the graph."""
    double = _changed(full, lambda _, part: part.detach().double() if part.is_floating_point() else part)
    return replace(double, refusal=None if full.refusal is None else as_double(full.refusal))


def _changed(full: Answers, change: Callable[[str, Tensor], Tensor | None]) -> Answers:
    """Apply a function of name and value to every tensor of the answers, but not to those of the refusals."""
    parts = {field.name: getattr(full, field.name) for field in fields(Answers)}
    changed: dict[str, Any] = {name: change(name, part) for name, part in parts.items() if isinstance(part, Tensor)}
    return replace(full, **changed)
