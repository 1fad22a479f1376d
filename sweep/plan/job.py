"""The part of a checked plan that a cluster runs."""

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
    """A sweep as Ray runs it; makers and trial are pickled and run where the resources are.

    Attributes:
        name: the sweep's name.
        config: the sweep.
        held: makes or opens the sweep's folder and ledger.
        makers: make what its trials share; none where it is all there.
        trial: runs one trial.
        paper: the paper's setting, if there is one.
    """

    name: str
    config: SweepConfig
    held: "Callable[[], AbstractContextManager[Ledger]]"
    makers: Sequence[Maker]
    trial: Run
    paper: Setting | None
