"""Results that a trial yields: one after each measured epoch, then the outcome; in between its progress and effects."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from sweep.records import GEffect, RowAnswers, StepProgress, TrialRecord


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """Result of a trial after an epoch: the epoch's mean loss and the cheap metrics."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class GEffectResult:
    """Gradient effects that were measured between two steps of a trial."""

    g_effect: GEffect


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """Outcome of a trial.

    Attributes:
        metrics: its final metrics.
        reason: the reason for the worst score; empty if it got another.
        unsaved: the reason why its model could not be saved; empty if it was, or was not to be.
        answers: answers to a few rows, if the trial generated any.
        target_metrics: metrics of the target in the suite that measured the compared weights.
    """

    metrics: dict[str, float]
    reason: str = ""
    unsaved: str = ""
    answers: list[RowAnswers] = field(default_factory=list)
    target_metrics: dict[str, float] = field(default_factory=dict)


TrialItem: TypeAlias = EpochResult | GEffectResult | StepProgress | TrialOutcome
TrialFn: TypeAlias = Callable[[TrialRecord], Iterator[TrialItem]]
"""Function that runs a trial: it yields the results of its epochs, then the outcome; in between its progress."""
