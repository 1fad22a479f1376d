"""A sweep with its trials so far: what statistics, verdicts, files, tables and the report are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.search.paper import find_paper_setting


@dataclass(frozen=True, kw_only=True)
class SweepRecords:
    """A sweep with its trials so far.

    Attributes:
        name: its name.
        config: its configuration.
        records: the last attempt of every trial, in any order.
    """

    name: str
    config: SweepConfig
    records: Sequence[TrialRecord]

    @cached_property
    def paper(self) -> Setting | None:
        """The paper's setting for this sweep, if there is one."""
        return find_paper_setting(self.config)
