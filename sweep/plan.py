"""The plan of a sweep, checked: its configuration, its name, its rows, and where its artifacts lie."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.data import DataError, Dataset
from sweep.compose import dump
from sweep.config import AuthorsConfig, ConfigError, SweepConfig, TofuConfig
from sweep.stored import config_of

if TYPE_CHECKING:
    from sweep.ledger import Ledger
    from sweep.trial import Work
    from sweep.unlearning.artifacts import Artifacts

# Optuna, Ray, torch and transformers are imported where they are used: a mistake is told without waiting for them.

STORAGE = Path("runs")
"""Where `resumed` looks for sweeps, in the working directory: the same as in configs/base.yaml."""


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
        """What Ray runs."""
        from sweep.recovery import paper_setting
        from sweep.trial import Work, makers, unlearn

        return Work(
            name=self.name,
            config=self.config,
            held=self.held,
            makers=makers(self.config, self.dataset, self.artifacts),
            trial=partial(unlearn, self.config, self.artifacts),
            paper=paper_setting(self.config),
        )

    def __str__(self) -> str:
        """The resolved configuration, what would be run, and what it needs of memory, time and disk."""
        from sweep.forecast import forecast

        asked = f"{dump(self.config)}\nname: {self.name}\ntrials: {self.trials}\nto prepare: {self.lacks}"
        return f"{asked}\n\n{forecast(self.config, self.dataset)}"

    @property
    def line(self) -> str:
        """What would be run, in one line."""
        return f"{self.name}: {self.trials}; to prepare: {self.lacks}"

    @property
    def trials(self) -> str:
        """How many trials there will be."""
        from sweep.agenda import planned, searched
        from sweep.recovery import paper_setting

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
    """The plan of a new sweep.

    Raises:
        ConfigError: the configuration cannot be run, or the name is taken.
        DataError: the rows cannot be had.
    """
    from sweep import warm_start
    from sweep.ledger import created, refuse_taken

    refuse_taken(config, name)
    warm_start.check(config)
    return _plan(config, name, partial(created, config, name))


def resumed(storage: Path, name: str) -> Plan:
    """The plan of a sweep that is there already.

    Raises:
        ConfigError: there is no such sweep, or its configuration was changed since it began.
        DataError: the rows cannot be had any more.
    """
    from sweep import studies
    from sweep.ledger import reopened

    config = config_of(storage, name)
    studies.refuse_changed(config, name)
    return _plan(config, name, partial(reopened, config, name))


def check(config: SweepConfig) -> None:
    """Refuse a sweep that could be run nowhere: its configuration alone is read.

    Raises:
        ConfigError: space, training or search do not fit the objective or one another.
    """
    from sweep import agenda, space, training
    from sweep.recovery import paper_setting

    training.check(config)
    space.check(config)
    agenda.check(config, paper_setting(config))


def storage_of(words: Sequence[str], command: str) -> Path:
    """The storage that the only word allowed beside a sweep's name gives, `storage=DIR`; else the default one.

    Raises:
        ConfigError: there is another word.
    """
    others = [word for word in words if not word.startswith("storage=")]
    if others:
        raise ConfigError(
            f"{command} takes the sweep's own configuration and only storage=DIR beside: not {others[0]!r}."
        )
    return Path(words[-1].removeprefix("storage=") if words else STORAGE).absolute()


def _plan(config: SweepConfig, name: str, held: "Callable[[], AbstractContextManager[Ledger]]") -> Plan:
    check(config)
    _check_loadable(config)
    dataset = _rows(config.data)
    from sweep.unlearning.artifacts import plan

    return Plan(config=config, name=name, dataset=dataset, artifacts=plan(config, dataset), held=held)


@cache
def _rows(config: AuthorsConfig | TofuConfig) -> Dataset:
    """The rows; sweeps that are run together share them."""
    from eval import datasets

    return datasets.load(config)


def _check_loadable(config: SweepConfig) -> None:
    """Refuse a model that is not there, or has another number of layers, by its configuration alone."""
    for block, path, revision in (
        ("model", config.model.path, config.model.revision),
        ("target", config.target.path, None),
    ):
        if path is None:
            continue
        from eval.checkpoint import layers

        try:
            found = layers(path, revision)
        except DataError as error:
            raise ConfigError(f"{block}.path = {error}") from error
        if found != config.model.layers:
            raise ConfigError(f"model.layers = {config.model.layers} must be {found}, as {block}.path = {path!r} has.")
