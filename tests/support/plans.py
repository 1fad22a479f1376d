"""Plans of sweeps with toy trials, from which nothing is made and nothing is loaded."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from support.toys import dataset
from sweep.plan.sweep_plan import SweepPlan
from sweep.prepare.artifacts import Artifacts
from sweep.records import TrialRecord
from sweep.search.study import create_study

if TYPE_CHECKING:
    from sweep.config.schema import SweepConfig
    from sweep.search.study import SweepStudy
    from sweep.trial.outcomes import EpochResult, TrialFn, TrialOutcome


def no_trial(record: TrialRecord) -> "Iterator[EpochResult | TrialOutcome]":
    """Run nothing."""
    yield from ()


@dataclass(frozen=True, kw_only=True)
class ToyPlan(SweepPlan):
    """A plan whose trials are run by a function of the test."""

    toy: "TrialFn"

    @property
    def trial_fn(self) -> "TrialFn":
        """The test's function."""
        return self.toy


def toy_plan(
    config: "SweepConfig",
    name: str,
    toy: "TrialFn" = no_trial,
    open_study: "Callable[[], AbstractContextManager[SweepStudy]] | None" = None,
) -> ToyPlan:
    """Plan a sweep of toy trials."""
    target, reference = config.storage / "target", config.storage / "reference"
    return ToyPlan(
        config=config,
        name=name,
        dataset=dataset(),
        artifacts=Artifacts(target=target, reference=reference, retain_model=None, url=None),
        open_study=open_study or partial(create_study, config, name),
        toy=toy,
    )
