"""A sweep with its trials so far: what statistics, verdicts, files, tables and the report are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sweep.config.schema import SweepConfig
from sweep.records import Phase, Setting, TrialRecord
from sweep.search.paper import find_paper_setting
from sweep.search.race import Race, hold_race, is_counted
from sweep.search.score_model import rank_trials


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

    @cached_property
    def race(self) -> Race:
        """The race of the search's best settings so far."""
        return hold_race(self.config, self.paper, self.records)

    @property
    def found(self) -> Setting | None:
        """The best setting that the search found by itself: the race's winner; None where it found none."""
        return self.race.winner

    @cached_property
    def best(self) -> TrialRecord | None:
        """The best setting's trial in the search; where it found none by itself, the trial with the lowest score."""
        own = None if self.found is None else self.find_search_trial(self.found)
        return own or next(iter(self.ranking), None)

    @cached_property
    def ranking(self) -> list[TrialRecord]:
        """The finished search trials, lowest estimate of the mean score over seeds first."""
        return rank_trials(self.config, self.records)

    @cached_property
    def uncounted(self) -> list[TrialRecord]:
        """The runs of race and report that do not enter the result."""
        return [record for record in self.records if not is_counted(record, self.race, self.paper)]

    def list_counted(self, phase: Phase) -> list[TrialRecord]:
        """List the trials of a phase that have ended and enter the result, by index."""
        ended = [record for record in self.records if record.phase == phase and record.state != "running"]
        return sorted((record for record in ended if record not in self.uncounted), key=lambda record: record.index)

    def find_search_trial(self, setting: Setting) -> TrialRecord | None:
        """Return the best finished search trial with this setting; None where there is none."""
        return next((record for record in self.ranking if record.setting == setting), None)
