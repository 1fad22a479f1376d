"""What a trial yields: its result after each epoch, then its outcome."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sweep.records import Record

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a trial stands after an epoch: its mean loss and the cheap metrics."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a trial ended: its final metrics, and why it got the worst score (empty where it did not)."""

    metrics: dict[str, float]
    reason: str = ""


Run: TypeAlias = Callable[[Record], Iterator[Point | Outcome]]
"""Runs a trial; yields points of its curve, then the outcome."""
