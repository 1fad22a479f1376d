"""Results that a trial yields: one after each measured epoch, then the outcome; in between its progress."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sweep.records import StepProgress, TrialRecord


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """Result of a trial after an epoch: the epoch's mean loss and the cheap metrics."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """Outcome of a trial.

    Attributes:
        metrics: its final metrics.
        reason: the reason for the worst score; empty if it got another.
        unsaved: the reason why its model could not be saved; empty if it was, or was not to be.
    """

    metrics: dict[str, float]
    reason: str = ""
    unsaved: str = ""


TrialItem: TypeAlias = EpochResult | StepProgress | TrialOutcome
TrialFn: TypeAlias = Callable[[TrialRecord], Iterator[TrialItem]]
"""Function that runs a trial: it yields the results of its epochs, then the outcome; in between its progress."""
