"""The record of a trial, from which tracking, results, recovery and the report are made; and the driver's clock."""

import time
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

_START = time.time() - time.monotonic()


def now() -> float:
    """Unix time in seconds as it was when the process began, and what has passed since."""
    return _START + time.monotonic()


Value: TypeAlias = int | float | str | bool
Setting: TypeAlias = dict[str, Value]
"""Values by hyper-parameter: the objective's fields, and `retain.weight`, `train.lr`, `train.epochs` where searched."""
State: TypeAlias = Literal["running", "finished", "failed", "pruned"]
Phase: TypeAlias = Literal["search", "finalist"]
INTERRUPTED = "interrupted"
"""The reason of a trial that was under way when its driver ended."""


def short(value: Value) -> str:
    """A value as a person wants to read it: four digits of a float."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def line(setting: Setting) -> str:
    """A setting in one line: `alpha=1.5 beta=7`."""
    return " ".join(f"{name}={short(value)}" for name, value in setting.items())


def printable(text: str) -> str:
    """A text for a terminal: what it would obey, or not show, as Python writes it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial: one setting, one seed.

    Attributes:
        phase: part of the search, or a repeat of a finalist on a fresh seed.
        index: the trial's number within its phase, from 0; ours, not Optuna's.
        setting: every hyper-parameter, searched or fixed.
        seed: seed of everything random in the trial.
        state: running, finished (divergence is a result), failed (an exception) or pruned.
        metrics: final metrics; empty until the trial is finished.
        curve: metrics after each epoch, first epoch first; each has the key `epoch`.
        reason: why it failed, or why a finished trial got the worst score; else empty.
        run_id: the MLflow run, once there is one.
        started: Unix time in seconds.
        ended: Unix time in seconds; 0 while it runs.
        worker: host and process that ran it.
    """

    phase: Phase
    index: int
    setting: Setting
    seed: int
    state: State
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    run_id: str = ""
    started: float = 0.0
    ended: float = 0.0
    worker: str = ""

    @property
    def score(self) -> float:
        """The trial's score, lower is better; infinity where it has none."""
        return self.metrics.get("score", float("inf"))


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Where a sweep's MLflow run is; no part holds a password."""

    tracking_uri: str
    experiment: str
    run_id: str
