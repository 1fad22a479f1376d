"""State of a trial while it trains: all beside weights and optimizer that its continuation needs."""

from dataclasses import dataclass, field
from typing import Any

import torch

from sweep.records import GEffect
from sweep.training.loop import StepResult
from sweep.trial.outcomes import EpochResult


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Weights by which a trial is scored, on the CPU, and the epoch result that belongs to them."""

    result: EpochResult
    weights: dict[str, torch.Tensor]


@dataclass(kw_only=True)
class TrialState:
    """State of a trial while it trains.

    Attributes:
        results: the results of its epochs so far.
        taken: the steps of the current epoch so far.
        kept: the best earlier epoch so far of those that keep τ without a mix; None where there is none.
        g_effects: the gradient effects so far.
    """

    results: list[EpochResult] = field(default_factory=list)
    taken: list[StepResult] = field(default_factory=list)
    kept: Candidate | None = None
    g_effects: list[GEffect] = field(default_factory=list)

    def to_notes(self) -> dict[str, Any]:
        """Return the state as plain types, for a checkpoint."""
        kept = self.kept and {"result": vars(self.kept.result), "weights": self.kept.weights}
        return {
            "results": [vars(result) for result in self.results],
            "taken": [vars(step) for step in self.taken],
            "kept": kept,
            "g_effects": self.g_effects,
        }

    @classmethod
    def from_notes(cls, notes: dict[str, Any]) -> "TrialState":
        """Return the state that the notes hold; that of a trial's start where they are empty."""
        if not notes:
            return cls()
        kept = notes["kept"]
        return cls(
            results=[EpochResult(**result) for result in notes["results"]],
            taken=[StepResult(**step) for step in notes["taken"]],
            kept=kept and Candidate(result=EpochResult(**kept["result"]), weights=_copy_tensors(kept["weights"])),
            g_effects=notes["g_effects"],
        )


def _copy_tensors(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors that are mapped to a file, which the next checkpoint removes."""
    return {name: weight.clone() for name, weight in weights.items()}
