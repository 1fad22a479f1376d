"""The checked plan of a sweep: its configuration, its name, its rows, and the places of its artifacts."""

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
    """A sweep that is ready to start; planning it has written nothing.

    Attributes:
        config: the resolved configuration.
        name: the name of the sweep and of its folder in the storage.
        dataset: the rows.
        artifacts: the places of the target and of the cached outputs of the reference, which may not exist yet.
        open_study: creates or opens the sweep's folder and study.
    """

    config: SweepConfig
    name: str
    dataset: Dataset
    artifacts: "Artifacts"
    held: "Callable[[], AbstractContextManager[Ledger]]"

    @property
    def folder(self) -> Path:
        """Folder of the sweep's files."""
        return self.config.storage / self.name

    @property
    def work(self) -> "Work":
        """The job that Ray runs once all shared artifacts exist; it has no preparers."""
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
        """Functions that make the missing artifacts; every existing file is read to compare its checksum."""
        from sweep.prepare.preparers import makers

        return makers(self.config, self.dataset, self.artifacts)

    def __str__(self) -> str:
        """Return the resolved configuration, the planned trials, and a forecast of memory, time and disk."""
        from sweep.prepare.forecast import forecast

        asked = f"{dump(self.config)}\nname: {self.name}\ntrials: {self.trials}\nto prepare: {self.lacks}"
        return f"{asked}\n\n{forecast(self.config, self.dataset)}"

    @property
    def line(self) -> str:
        """The planned trials and missing artifacts, in one line."""
        return f"{self.name}: {self.trials}; to prepare: {self.lacks}"

    @property
    def trials(self) -> str:
        """The planned numbers of trials, as text."""
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
        """The missing artifacts that would be prepared, as text."""
        return ", ".join(self.artifacts.missing) or "nothing, it is all there"


def new(config: SweepConfig, name: str) -> Plan:
    """Plan a new sweep, pinned to the current commits of its repositories on the hub.

    Raises:
        ConfigError: the configuration cannot be run, or the name is taken.
        DataError: the rows cannot be loaded.
    """
    from sweep.search import warm_start
    from sweep.search.study import created, refuse_taken

    refuse_taken(config, name)
    check(config)
    pinned = _pinned(config)
    warm_start.check(pinned)
    return _plan(pinned, name, partial(created, pinned, name))


def resumed(storage: Path, name: str) -> Plan:
    """Plan a sweep that already exists in the storage.

    Raises:
        ConfigError: there is no such sweep, or its configuration was changed since it began.
        DataError: the rows can no longer be loaded.
    """
    from sweep.search import storage as study_storage
    from sweep.search.study import reopened

    config = config_of(storage, name)
    study_storage.refuse_changed(config, name)
    check(config)
    return _plan(config, name, partial(reopened, config, name))


def check(config: SweepConfig) -> None:
    """Refuse a configuration that cannot run on any machine, without reading rows, weights or a cluster's state.

    Raises:
        ConfigError: space, training or search do not fit the objective or one another, or the name of MLflow's
            experiment in the environment is invalid.
    """
    from sweep.config import space, train_rules
    from sweep.search import queue
    from sweep.search.paper import paper_setting

    _check_experiment()
    train_rules.check(config)
    space.check(config)
    queue.check(config, paper_setting(config))


def _check_experiment() -> None:
    """Refuse a name in MLFLOW_EXPERIMENT_NAME that is too long for `experiment`."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"MLFLOW_EXPERIMENT_NAME = {name!r} must have at most {LONGEST_NAME} characters.")


def _plan(config: SweepConfig, name: str, held: "Callable[[], AbstractContextManager[Ledger]]") -> Plan:
    """Load the rows, check that model and rows fit together, and locate the artifacts."""
    _check_loadable(config)
    dataset = _rows(config.data)
    _check_fits(config, dataset)
    from sweep.prepare.artifacts import plan

    return Plan(config=config, name=name, dataset=dataset, artifacts=plan(config, dataset), held=held)


@cache
def _rows(config: AuthorsConfig | TofuConfig) -> Dataset:
    """Load the rows once per process, so that sweeps of one command share them."""
    from eval import datasets

    return datasets.load(config)
