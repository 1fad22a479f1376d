"""Callbacks of running sweeps: protocols that the display and the MLflow tracker implement."""

from collections.abc import Sequence
from typing import Protocol

from sweep.records import StepProgress, TrialRecord


class TrialListener(Protocol):
    """Listener to the trials of one sweep, as the live table and the MLflow tracker are."""

    def on_trial_update(self, record: TrialRecord) -> None:
        """Handle a trial that has started, made progress, ended an epoch, or ended and been committed to the study."""


class SweepView(TrialListener, Protocol):
    """Display of one sweep."""

    def on_resume(self, records: Sequence[TrialRecord]) -> None:
        """Handle the trials that ran before the sweep was resumed."""


class SweepsDisplay(Protocol):
    """Display of all sweeps that run side by side."""

    def for_sweep(self, name: str) -> SweepView:
        """Return the display of the sweep with this name."""

    def on_status(self, status: str) -> None:
        """Handle the beginning of something that takes seconds, said in a few words."""

    def on_slots(self, n_slots: int) -> None:
        """Handle the beginning of the trials, of which so many run at once."""

    def on_prepared(self, stage: str, progress: StepProgress) -> None:
        """Handle progress of a preparation stage."""

    def on_step(self) -> None:
        """Handle one step of the event loop; called several times a second."""
