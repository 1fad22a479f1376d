"""A sweep by discrete events: one driver that serves whoever comes first, and workers that wait for it."""

from collections.abc import Generator
from dataclasses import dataclass

import simpy
from sweep_overhead import EPOCHS, Case


@dataclass(frozen=True, kw_only=True)
class Line:
    """A cost that grows with the number of finished trials, in seconds."""

    at_none: float
    per_finished: float

    def __call__(self, finished: int) -> float:
        """The cost beside so many finished trials."""
        return self.at_none + self.per_finished * finished


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the driver needs.

    Attributes:
        idle: share of the processor that it takes while nothing happens.
        ask: seconds of asking for a setting.
        tell: seconds of closing a trial.
        report: seconds of a report; a trial has one after each epoch and one at its end.
        launch: seconds that a trial needs to get to its worker, during which the driver is free.
        memory: MB of the driver, `at_none` with none finished.
        bytes_sent: to MLflow, for each trial.
    """

    idle: float
    ask: Line
    tell: Line
    report: Line
    launch: float
    memory: Line
    bytes_sent: float


class Simulation:
    """One driver and many workers, by events."""

    def __init__(self, case: Case, costs: Costs) -> None:
        """Nothing has happened yet."""
        self._case, self._costs = case, costs
        self._clock = simpy.Environment()
        self._driver = simpy.Resource(self._clock)
        self._begun = self._finished = 0
        self._busy = self._there = 0.0

    def run(self) -> dict[str, float]:
        """Run all trials."""
        case, costs = self._case, self._costs
        for _ in range(case.workers):
            self._clock.process(self._worker())
        self._clock.run()
        took = float(self._clock.now)
        return {
            "workers": case.workers,
            "trials": case.trials,
            "sleep of the workers' time": case.trials * case.seconds / self._there,
            "ideal / sweep": case.trials * case.seconds / case.workers / took,
            "driver's processor, %": 100 * (costs.idle + self._busy / took),
            "driver's seconds per trial": self._busy / case.trials + costs.idle * took / case.trials,
            "driver's memory, MB": costs.memory(case.trials),
            "MB to MLflow": costs.bytes_sent * case.trials / 2**20,
        }

    def _worker(self) -> Generator[simpy.Event]:
        """Trials, one after the other; a worker is there from its first trial's start to its last one's end."""
        first = last = None
        while self._begun < self._case.trials:
            self._begun += 1
            yield from self._served(self._costs.ask)
            yield self._clock.timeout(self._costs.launch)
            first = self._clock.now if first is None else first
            for _ in range(EPOCHS):
                yield self._clock.timeout(self._case.seconds / EPOCHS)
                last = self._clock.now
                yield from self._served(self._costs.report)
            yield from self._served(self._costs.report)
            yield from self._served(self._costs.tell)
            self._finished += 1
        self._there += 0 if first is None or last is None else last - first

    def _served(self, cost: Line) -> Generator[simpy.Event]:
        """Wait for the driver's turn, and for it to be done; what it does beside goes on as well."""
        with self._driver.request() as turn:
            yield turn
            seconds = cost(self._finished) / (1 - self._costs.idle)
            self._busy += cost(self._finished)
            yield self._clock.timeout(seconds)
