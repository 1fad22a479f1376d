"""The part of a checked plan that the cluster runs."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.config.schema import SweepConfig
from sweep.records import Setting

if TYPE_CHECKING:
    from sweep.search.study import Ledger
from sweep.prepare.preparers import Maker
from sweep.trial.outcomes import Run


@dataclass(frozen=True, kw_only=True)
class Work:
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
    held: "Callable[[], AbstractContextManager[Ledger]]"
    makers: Sequence[Maker]
    trial: Run
    paper: Setting | None
