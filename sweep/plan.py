"""What a command line asks for, checked: the configuration, the sweep's name, its rows, and where its artifacts lie."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval.data import DataError, Dataset
from sweep.compose import default_name, dump, load, valid_name
from sweep.config import ConfigError, SweepConfig
from sweep.explain import nearest

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
            makers=makers(self.config, self.dataset, self.artifacts),
            trial=partial(unlearn, self.config, self.artifacts),
            paper=paper_setting(self.config),
        )

    @property
    def again(self) -> str:
        """The command that goes on with the sweep, or starts it where it has no ledger yet."""
        if not self.folder.exists():
            return "give the same command again"
        elsewhere = "" if self.config.storage == STORAGE.absolute() else f" storage={self.config.storage}"
        return f"python -m sweep.launch --resume {self.name}{elsewhere}"

    def __str__(self) -> str:
        """The resolved configuration, the number of trials, and what would be prepared."""
        from sweep.agenda import planned
        from sweep.recovery import paper_setting

        searched, together = self.config.search.trials, planned(self.config, paper_setting(self.config))
        return (
            f"{dump(self.config)}\n"
            f"name: {self.name}\n"
            f"trials: {searched}, and {together - searched} repeats of finalists on fresh seeds\n"
            f"to prepare: {', '.join(self.artifacts.missing) or 'nothing, it is all there'}"
        )


def new(words: Sequence[str], name: str | None) -> Plan:
    """The plan of a new sweep: a config file, then changes `key=value`; the name is made up where it is None.

    Raises:
        ConfigError: anything in the configuration is wrong, or the name is taken.
        DataError: the rows cannot be had.
    """
    if not words or "=" in words[0]:
        raise ConfigError("a config file must come first, as in python -m sweep.launch configs/wtnpo.yaml.")
    wanted = None if name is None else valid_name(name)
    config = load(words[0], words[1:])
    from sweep.ledger import created, refuse_taken

    own = wanted or default_name(config, Path(words[0]).stem, datetime.now(UTC))
    refuse_taken(config, own)
    return _plan(config, own, partial(created, config, own))


def resumed(words: Sequence[str], name: str) -> Plan:
    """The plan of a sweep that is there already; the only word it takes is storage=DIR.

    Raises:
        ConfigError: there is no such sweep, or another word is given.
        DataError: the rows cannot be had any more.
    """
    others = [word for word in words if not word.startswith("storage=")]
    if others:
        raise ConfigError(
            f"--resume takes the sweep's own configuration and only storage=DIR beside: not {others[0]!r}."
        )
    storage = Path(words[-1].removeprefix("storage=") if words else STORAGE).absolute()
    file = storage / valid_name(name) / "config.yaml"
    if not file.is_file():
        there = [path.parent.name for path in storage.glob(f"*/{file.name}")]
        raise ConfigError(f"--resume {name}: {storage} has no sweep of this name{nearest(name, there)}.")
    # The folder may have been moved since.
    config = load(file).model_copy(update={"storage": storage})
    from sweep.ledger import reopened

    return _plan(config, name, partial(reopened, config, name))


def _plan(config: SweepConfig, name: str, held: "Callable[[], AbstractContextManager[Ledger]]") -> Plan:
    from eval import datasets
    from sweep import space

    space.check(config)
    _check_loadable(config)
    dataset = datasets.load(config.data)
    from sweep.unlearning.artifacts import plan

    return Plan(config=config, name=name, dataset=dataset, artifacts=plan(config, dataset), held=held)


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
