"""The plan of a sweep, checked: its configuration, its name, its rows, and where its artifacts lie."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.rows.types import Dataset
from sweep.config.compose import dump
from sweep.config.schema import LONGEST_NAME, AuthorsConfig, SweepConfig, TofuConfig
from sweep.config.stored import config_of
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from sweep.plan.job import Work
    from sweep.prepare.artifacts import Artifacts
    from sweep.prepare.preparers import Maker
    from sweep.search.study import Ledger
from sweep.plan.checks import _check_fits, _check_loadable
from sweep.plan.hub_commits import _pinned


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep that can be started; nothing of it has been made yet.

    Attributes:
        config: the resolved configuration.
        name: the sweep's name, and its folder's in the storage.
        dataset: the rows.
        artifacts: where the target and what the reference says of the rows lie, or will lie.
        held: makes or opens the sweep's folder and ledger.
    """

    config: SweepConfig
    name: str
    dataset: Dataset
    artifacts: "Artifacts"
    held: "Callable[[], AbstractContextManager[Ledger]]"

    @property
    def folder(self) -> Path:
        """Where the sweep's files go."""
        return self.config.storage / self.name

    @property
    def work(self) -> "Work":
        """What Ray runs, once what its trials share is there."""
        from sweep.plan.job import Work
        from sweep.search.paper import paper_setting
        from sweep.trial.runner import unlearn

        return Work(
            name=self.name,
            config=self.config,
            held=self.held,
            makers=(),
            trial=partial(unlearn, self.config, self.artifacts),
            paper=paper_setting(self.config),
        )

    @property
    def makers(self) -> "Sequence[Maker]":
        """What makes that; every file of it that is there is read, since its checksum is compared."""
        from sweep.prepare.preparers import makers

        return makers(self.config, self.dataset, self.artifacts)

    def __str__(self) -> str:
        """The resolved configuration, what would be run, and what it needs of memory, time and disk."""
        from sweep.prepare.forecast import forecast

        asked = f"{dump(self.config)}\nname: {self.name}\ntrials: {self.trials}\nto prepare: {self.lacks}"
        return f"{asked}\n\n{forecast(self.config, self.dataset)}"

    @property
    def line(self) -> str:
        """What would be run, in one line."""
        return f"{self.name}: {self.trials}; to prepare: {self.lacks}"

    @property
    def trials(self) -> str:
        """How many trials there will be."""
        from sweep.search.paper import paper_setting
        from sweep.search.queue import planned, searched

        paper, hours = paper_setting(self.config), self.config.search.hours
        search, together = searched(self.config, paper), planned(self.config, paper)
        limit = "" if hours is None else f" that begin within {hours:g} hours of search"
        if search is None or together is None:
            return f"all{limit}, and repeats of finalists on fresh seeds"
        return f"{search}{limit}, and {together - search} repeats of finalists on fresh seeds"

    @property
    def lacks(self) -> str:
        """What would be prepared."""
        return ", ".join(self.artifacts.missing) or "nothing, it is all there"


def new(config: SweepConfig, name: str) -> Plan:
    """The plan of a new sweep, which keeps to the commits that its repositories on the hub have now.

    Raises:
        ConfigError: the configuration cannot be run, or the name is taken.
        DataError: the rows cannot be had.
    """
    from sweep.search import warm_start
    from sweep.search.study import created, refuse_taken

    refuse_taken(config, name)
    check(config)
    pinned = _pinned(config)
    warm_start.check(pinned)
    return _plan(pinned, name, partial(created, pinned, name))


def resumed(storage: Path, name: str) -> Plan:
    """The plan of a sweep that is there already.

    Raises:
        ConfigError: there is no such sweep, or its configuration was changed since it began.
        DataError: the rows cannot be had any more.
    """
    from sweep.search import storage
    from sweep.search.study import reopened

    config = config_of(storage, name)
    storage.refuse_changed(config, name)
    check(config)
    return _plan(config, name, partial(reopened, config, name))


def check(config: SweepConfig) -> None:
    """Refuse a sweep that could be run nowhere: its configuration alone is read.

    Raises:
        ConfigError: space, training or search do not fit the objective or one another, or MLflow's experiment has no
            name that it takes.
    """
    from sweep.config import space, train_rules
    from sweep.search import queue
    from sweep.search.paper import paper_setting

    _check_experiment()
    train_rules.check(config)
    space.check(config)
    queue.check(config, paper_setting(config))


def _check_experiment() -> None:
    """Refuse a name in the environment that `experiment` could not have either."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"MLFLOW_EXPERIMENT_NAME = {name!r} must have at most {LONGEST_NAME} characters.")


def _plan(config: SweepConfig, name: str, held: "Callable[[], AbstractContextManager[Ledger]]") -> Plan:
    _check_loadable(config)
    dataset = _rows(config.data)
    _check_fits(config, dataset)
    from sweep.prepare.artifacts import plan

    return Plan(config=config, name=name, dataset=dataset, artifacts=plan(config, dataset), held=held)


@cache
def _rows(config: AuthorsConfig | TofuConfig) -> Dataset:
    """The rows; sweeps that are run together share them."""
    from eval import datasets

    return datasets.load(config)
