"""The plan of a sweep, checked: its configuration, its name, its rows, and where its artifacts lie."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.data import DataError, Dataset
from eval.hub import Kind, commit, is_id
from sweep.compose import dump
from sweep.config import LONGEST_NAME, AuthorsConfig, ConfigError, SweepConfig, TofuConfig
from sweep.stored import config_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from sweep.ledger import Ledger
    from sweep.trial import Maker, Work
    from sweep.unlearning.artifacts import Artifacts

# Optuna, Ray, torch and transformers are imported where they are used: a mistake is told without waiting for them.

REPOSITORIES: Mapping[str, Kind] = {"model": "model", "target": "model", "data": "dataset"}
"""Blocks that may name a repository on the hub, and what it holds."""
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
        """What Ray runs, once what its trials share is there."""
        from sweep.recovery import paper_setting
        from sweep.trial import Work, unlearn

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
        from sweep.trial import makers

        return makers(self.config, self.dataset, self.artifacts)

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
    """The plan of a new sweep, which keeps to the commits that its repositories on the hub have now.

    Raises:
        ConfigError: the configuration cannot be run, or the name is taken.
        DataError: the rows cannot be had.
    """
    from sweep import warm_start
    from sweep.ledger import created, refuse_taken

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
    from sweep import studies
    from sweep.ledger import reopened

    config = config_of(storage, name)
    studies.refuse_changed(config, name)
    check(config)
    return _plan(config, name, partial(reopened, config, name))


def check(config: SweepConfig) -> None:
    """Refuse a sweep that could be run nowhere: its configuration alone is read.

    Raises:
        ConfigError: space, training or search do not fit the objective or one another, or MLflow's experiment has no
            name that it takes.
    """
    from sweep import agenda, space, training
    from sweep.recovery import paper_setting

    _check_experiment()
    training.check(config)
    space.check(config)
    agenda.check(config, paper_setting(config))


def _check_experiment() -> None:
    """Refuse a name in the environment that `experiment` could not have either."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    if len(name) > LONGEST_NAME:
        raise ConfigError(f"MLFLOW_EXPERIMENT_NAME = {name!r} must have at most {LONGEST_NAME} characters.")


def where(storage: Path, name: str) -> str:
    """A sweep as commands take it: its name, and its storage where that is not the default one."""
    return name if storage == STORAGE.absolute() else f"{name} {shlex.quote(f'storage={storage}')}"


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


def same_commits(config: SweepConfig, begun: SweepConfig) -> SweepConfig:
    """The configuration with the commits of a sweep that was begun with it, where it names none itself."""
    pinned = {block: getattr(begun, block).revision for block in _on_hub(config) if block in _on_hub(begun)}
    return _with_commits(config, {b: sha for b, sha in pinned.items() if getattr(config, b).revision is None})


def _pinned(config: SweepConfig) -> SweepConfig:
    """The configuration with a commit for each repository on the hub: all nodes and all days use the same.

    Raises:
        ConfigError: a repository is not there, or the hub is out of reach and the cache knows nothing of it.
    """
    commits = {}
    for block, path in _on_hub(config).items():
        try:
            commits[block] = commit(path, REPOSITORIES[block], getattr(config, block).revision)
        except DataError as error:
            raise ConfigError(f"{block}.path = {error}.") from error
    return _with_commits(config, commits)


def _on_hub(config: SweepConfig) -> dict[str, str]:
    """The paths that can only be repositories, by block."""
    paths = {block: getattr(getattr(config, block), "path", None) for block in REPOSITORIES}
    return {
        block: path
        for block, path in paths.items()
        if path is not None and is_id(path, REPOSITORIES[block]) and not Path(path).is_dir()
    }


def _with_commits(config: SweepConfig, commits: Mapping[str, str]) -> SweepConfig:
    blocks = {block: getattr(config, block).model_copy(update={"revision": sha}) for block, sha in commits.items()}
    return config.model_copy(update=blocks)


def _plan(config: SweepConfig, name: str, held: "Callable[[], AbstractContextManager[Ledger]]") -> Plan:
    _check_loadable(config)
    dataset = _rows(config.data)
    _check_fits(config, dataset)
    from sweep.unlearning.artifacts import plan

    return Plan(config=config, name=name, dataset=dataset, artifacts=plan(config, dataset), held=held)


@cache
def _rows(config: AuthorsConfig | TofuConfig) -> Dataset:
    """The rows; sweeps that are run together share them."""
    from eval import datasets

    return datasets.load(config)


def _check_fits(config: SweepConfig, dataset: Dataset) -> None:
    """Refuse rows that the model has no positions for."""
    from eval import positions

    def known() -> "tuple[PreTrainedTokenizerFast, int | None]":
        from sweep.budget import base

        own = base(config, dataset)
        return own.tokenizer, getattr(own.architecture, "max_position_embeddings", None)

    positions.check(dataset, config.model.template, known)


def _check_loadable(config: SweepConfig) -> None:
    """Refuse a model that is not there, has a pickle for weights, or another number of layers; no weight is read."""
    for block, path, revision in (
        ("model", config.model.path, config.model.revision),
        ("target", config.target.path, config.target.revision),
    ):
        if path is None:
            continue
        from eval.checkpoint import layers

        try:
            _check_weights(path, revision)
            found = layers(path, revision)
        except DataError as error:
            raise ConfigError(f"{block}.path = {error}") from error
        if found != config.model.layers:
            raise ConfigError(f"model.layers = {config.model.layers} must be {found}, as {block}.path = {path!r} has.")


def _check_weights(path: str, revision: str | None) -> None:
    """Refuse a folder or a repository that has no safetensors."""
    from eval import hub, weights

    if Path(path).is_dir():
        weights.check(Path(path))
    elif is_id(path, "model"):
        weights.check_names(path, hub.names(path, revision))
