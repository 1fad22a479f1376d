"""Meter of a training that takes long: its loss, its tokens a second and the time left, measured now and then."""

from collections.abc import Sequence
from statistics import fmean

from sweep.records import Pace
from sweep.training.distributed import shared_clock
from sweep.training.loop import Schedule, StepResult


class ProgressMeter:
    """Meter that measures the pace at most every `interval_s` seconds: reading a loss waits for the device."""

    def __init__(
        self, schedule: Schedule, lengths: Sequence[Sequence[int]], *, interval_s: float, n_steps: int
    ) -> None:
        """Start the clock.

        Args:
            schedule: of the training.
            lengths: number of tokens of each row, for each kind of rows of which a step has a batch.
            interval_s: least time from the start to the first measurement, and from each to the next.
            n_steps: number of steps that were done before.
        """
        self._schedule = schedule
        self._tokens_per_step = schedule.batch_size * sum(map(fmean, lengths))
        self._interval_s, self._n_before = interval_s, n_steps
        self._began = shared_clock()
        self._next = self._began + interval_s

    def measure_pace(self, step: StepResult, n_steps: int) -> Pace | None:
        """Return the pace after `n_steps` steps, averaged since the start; None until it is time, in all processes."""
        if step.at < self._next:
            return None
        self._next = step.at + self._interval_s
        seconds = (step.at - self._began) / (n_steps - self._n_before)
        return Pace(
            loss=step.loss,
            tokens_per_s=self._tokens_per_step / seconds,
            left_s=seconds * (self._schedule.n_steps - n_steps),
        )
