"""Run searches of toy trials on a real Ray, with a display that records its calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from support.trials import PAPER
from sweep.callbacks import TrialListener
from sweep.cluster.searcher import Search, StudySearcher
from sweep.config.schema import SweepConfig
from sweep.records import StepProgress, TrialRecord
from sweep.search.queue import pending_trials
from sweep.search.study import SweepStudy
from sweep.trial.outcomes import TrialFn

NAME = "toy"


@dataclass
class RecordingDisplay:
    """A display that records its calls."""

    progress: list[tuple[str, int, int]] = field(default_factory=list)
    points: list[tuple[int, float]] = field(default_factory=list)
    ended: list[TrialRecord] = field(default_factory=list)

    def for_sweep(self, name: str) -> "RecordingDisplay":
        """Return the same display for every sweep."""
        return self

    def on_status(self, status: str) -> None:
        """Ignore what goes on."""

    def on_slots(self, n_slots: int) -> None:
        """Ignore the number of slots."""

    def on_prepared(self, stage: str, progress: StepProgress) -> None:
        """Record the progress."""
        self.progress.append((stage, progress.done, progress.total))

    def on_resume(self, records: Sequence[TrialRecord]) -> None:
        """Ignore the earlier trials."""

    def on_trial_update(self, record: TrialRecord) -> None:
        """Record the new epoch, or the end."""
        if record.state != "running":
            self.ended.append(record)
        elif record.curve:
            self.points.append((record.index, record.curve[-1]["epoch"]))

    def on_step(self) -> None:
        """Ignore the step."""


def search(config: SweepConfig, study: SweepStudy, watcher: TrialListener) -> Search:
    """Build the search of a sweep with one watcher."""
    return Search(
        study=study,
        requests=pending_trials(config, PAPER, study),
        listeners=[watcher],
        run_id_of=lambda record: f"run {record.index}",
        retries=1,
        deadline=config.cluster.deadline,
    )


def open_study(config: SweepConfig) -> SweepStudy:
    """Open the study of a sweep, and make its folder if it is missing."""
    (config.storage / NAME).mkdir(parents=True, exist_ok=True)
    return SweepStudy(config, NAME)


def run_sweeps(
    sweeps: Sequence[tuple[SweepConfig, TrialFn]], at_once: int = 2, after_step: Callable[[], None] = lambda: None
) -> list[RecordingDisplay]:
    """Run the pending trials of sweeps of one cluster side by side, as `sweep.run` does, without MLflow.

    Args:
        sweeps: each with the function that runs its trials.
        at_once: number of trials that run at once.
        after_step: is called after every step of Ray Tune.
    """
    from sweep.cluster.tuner import StepCallback, run_trials

    seen, step = [RecordingDisplay() for _ in sweeps], StepCallback(after_step)
    searches = [search(config, open_study(config), one) for (config, _), one in zip(sweeps, seen, strict=True)]
    runs = [run for _, run in sweeps]
    run_trials(sweeps[0][0].cluster, runs, StudySearcher(searches, explain_failure=step.failure_reason), at_once, step)
    return seen
