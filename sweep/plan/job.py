"""The part of a checked plan that the cluster runs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.config.schema import SweepConfig
from sweep.records import Setting

if TYPE_CHECKING:
    from sweep.search.study import SweepStudy
from sweep.prepare.preparers import Preparer
from sweep.trial.outcomes import TrialFn


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """A sweep as Ray runs it; `preparers` and `trial_fn` are pickled and run on the workers.

    Attributes:
        name: the sweep's name.
        config: the sweep's configuration.
        open_study: creates or opens the sweep's folder and study.
        preparers: make the missing artifacts that the trials share; empty if none is missing.
        trial_fn: runs one trial.
        paper: the paper's setting, if there is one.
    """

    name: str
    config: SweepConfig
    open_study: "Callable[[], AbstractContextManager[SweepStudy]]"
    preparers: Sequence[Preparer]
    trial_fn: TrialFn
    paper: Setting | None
