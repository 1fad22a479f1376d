"""What a command line asks for, checked: one sweep, or several that run side by side and are compared at the end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sweep.compose import default_name, load, valid_name
from sweep.config import ConfigError, SweepConfig
from sweep.differences import differences
from sweep.matrix import Member, is_matrix, members
from sweep.plan import Plan, new, resumed, same_commits, storage_of, where
from sweep.stored import LIST, make, names_of

if TYPE_CHECKING:
    from sweep.ledger import Ledger
    from sweep.trial import Work

SHARED = ("cluster", "storage", "search", "score", "seed", "seeds")
"""Blocks that sweeps of one comparison have in common: equal budgets on the same seeds."""


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The sweeps of one command; nothing of them has been made yet.

    Attributes:
        name: the sweep's name; of several sweeps the comparison's, with which each of theirs begins.
        plans: the sweeps.
    """

    name: str
    plans: Sequence[Plan]

    @property
    def several(self) -> bool:
        """Whether this is a comparison, which has a folder of its own."""
        return self.plans[0].name != self.name

    @property
    def folder(self) -> Path:
        """Where the files of the sweep or of the comparison go."""
        return self.plans[0].config.storage / self.name

    @property
    def works(self) -> "list[Work]":
        """What Ray runs; what sweeps share is made once."""
        artifacts = [plan.artifacts for plan in self.plans]
        first = [artifacts.index(one) == place for place, one in enumerate(artifacts)]
        return [
            replace(plan.work, makers=plan.makers) if own else plan.work
            for plan, own in zip(self.plans, first, strict=True)
        ]

    @property
    def again(self) -> str:
        """The command that goes on, or starts it where there is no ledger yet."""
        if not self.folder.exists():
            return "give the same command again"
        return f"python -m sweep.launch --resume {where(self.plans[0].config.storage, self.name)}"

    def __str__(self) -> str:
        """What would be run."""
        if not self.several:
            return str(self.plans[0])
        from sweep.budget import budget, together

        needs = together([budget(plan.config, plan.dataset) for plan in self.plans])
        return "\n".join([f"comparison: {self.name}", *(plan.line for plan in self.plans), needs])


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The sweeps that a command line asks for, by its words and its files alone.

    Attributes:
        name: the sweep's name, or the comparison's.
        files: the files as they were typed, before all changes.
        members: the config file of each sweep with what is changed in it, by the sweep's own name.
        configs: their configurations, by the sweep's own name.
    """

    name: str
    files: Sequence[Path]
    members: Mapping[str, Member]
    configs: Mapping[str, SweepConfig]


def wished(words: Sequence[str], name: str | None) -> Wish:
    """What config files, then changes `key=value`, ask for; a name is made up where it is None.

    Raises:
        ConfigError: anything in a configuration is wrong.
    """
    wanted = None if name is None else valid_name(name)
    files = _files(words)
    overrides = words[len(files) :]
    if not files:
        raise ConfigError("a config file must come first, as in python -m sweep.launch configs/wtnpo.yaml.")
    if len(files) > 1 or is_matrix(files[0]):
        return _several(files, overrides, wanted)
    config = load(files[0], overrides)
    own = wanted or default_name(f"{files[0].stem}-{config.model.name}-{config.data.name}", datetime.now(UTC))
    alone = Member(name=files[0].stem, file=files[0], choices=tuple(overrides))
    return Wish(name=own, files=files, members={own: alone}, configs={own: config})


def asked(words: Sequence[str], name: str | None) -> Plans:
    """The plans of new sweeps: config files, then changes `key=value`; a name is made up where it is None.

    Raises:
        ConfigError: anything in a configuration is wrong, or a name is taken.
        DataError: the rows cannot be had.
    """
    wish = wished(words, name)
    if wish.name not in wish.configs:
        return _compared(wish)
    return Plans(name=wish.name, plans=[new(config, own) for own, config in wish.configs.items()])


def again(words: Sequence[str], name: str) -> Plans:
    """The plans of what is there already, a sweep or a comparison.

    Args:
        words: nothing or storage=DIR; or what it was begun with, config files and changes.
        name: the sweep's, or the comparison's.

    Raises:
        ConfigError: there is nothing of this name, another process is running it, or it was begun with other words.
        DataError: the rows cannot be had any more.
    """
    if _files(words):
        return _begun_with(wished(words, name))
    storage = storage_of(words, "--resume")
    return Plans(name=name, plans=_resumed(storage, name))


def _resumed(storage: Path, name: str) -> list[Plan]:
    """The plans of sweeps that nobody runs."""
    from sweep.ledger import refuse_running

    plans = [resumed(storage, own) for own in names_of(storage, name)]
    for plan in plans:
        refuse_running(plan.config, plan.name)
    return plans


def _begun_with(wish: Wish) -> Plans:
    """The plans of what was begun with the same words."""
    storage = next(iter(wish.configs.values())).storage
    plans = _resumed(storage, wish.name)
    _check_same(wish, plans)
    return Plans(name=wish.name, plans=plans)


def _check_same(wish: Wish, plans: Sequence[Plan]) -> None:
    """Refuse to go on with sweeps that were begun with another configuration."""
    there, here = [plan.name for plan in plans], [*wish.configs]
    if there != here:
        raise ConfigError(f"--resume {wish.name}: it holds {', '.join(there)}, but the command {', '.join(here)}.")
    for plan in plans:
        wished = same_commits(wish.configs[plan.name], plan.config)
        if other := [*differences(plan.config.model_dump(), wished.model_dump())]:
            said = ", ".join(f"{key} is {one} there and {two} here" for key, one, two in other)
            raise ConfigError(f"--resume {plan.name}: it was begun with another configuration: {said}.")


def _files(words: Sequence[str]) -> list[Path]:
    """The words before the first change."""
    return [Path(word) for word in takewhile(lambda word: "=" not in word and not word.startswith("~"), words)]


def _several(files: Sequence[Path], overrides: Sequence[str], wanted: str | None) -> Wish:
    """Several sweeps, which can be compared."""
    name = wanted or default_name("-".join(file.stem for file in files), datetime.now(UTC))
    changed = [replace(one, choices=(*one.choices, *overrides)) for one in members(files, overrides)]
    named = {valid_name(f"{name}.{one.name}"): one for one in changed}
    configs = {own: load(one.file, one.choices) for own, one in named.items()}
    _check_shared(configs)
    return Wish(name=name, files=files, members=named, configs=_in_one_experiment(name, configs))


def _in_one_experiment(name: str, configs: Mapping[str, SweepConfig]) -> Mapping[str, SweepConfig]:
    """The configurations of several sweeps; of several models or data all runs are in the comparison's experiment."""
    if len({(config.model.name, config.data.name) for config in configs.values()}) == 1:
        return configs
    return {own: config.model_copy(update={"experiment": config.experiment or name}) for own, config in configs.items()}


def _compared(wish: Wish) -> Plans:
    """The plans of several sweeps, which are begun together: whatever ends the driver, all are there, or none."""
    from sweep.ledger import refuse_taken, reopened

    refuse_taken(next(iter(wish.configs.values())), wish.name)
    plans = [new(config, own) for own, config in wish.configs.items()]
    first, *others = (replace(plan, held=partial(reopened, plan.config, plan.name)) for plan in plans)
    return Plans(name=wish.name, plans=[replace(first, held=partial(_begun, wish.name, plans)), *others])


def _check_shared(configs: dict[str, SweepConfig]) -> None:
    """Refuse sweeps that could not be compared, or not be run on the same workers."""
    (first, ours), *others = ((name, config.model_dump(include={*SHARED})) for name, config in configs.items())
    for name, theirs in others:
        for key, one, other in differences(ours, theirs):
            raise ConfigError(
                f"{key} = {one} in {first} but {other} in {name}: sweeps that are compared have the same"
                f" {', '.join(SHARED)}: give {key}=VALUE for all of them."
            )


@contextmanager
def _begun(name: str, plans: Sequence[Plan]) -> "Iterator[Ledger]":
    """Make the folders of all sweeps of a comparison, then its own, and hold the first."""
    from sweep.ledger import begin, reopened

    for plan in plans:
        begin(plan.config, plan.name)
    first = plans[0]
    make(first.config.storage / name, LIST, yaml.safe_dump({"sweeps": [plan.name for plan in plans]}))
    with reopened(first.config, first.name) as ledger:
        yield ledger
