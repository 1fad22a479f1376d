"""What a command line asks for, checked: one sweep, or several that run side by side and are compared at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sweep.atomic_io import make
from sweep.config.diff import differences
from sweep.config.stored import LIST, names_of, storage_of, where
from sweep.errors import ConfigError
from sweep.plan.hub_commits import same_commits
from sweep.plan.sweep_plan import Plan, new, resumed

if TYPE_CHECKING:
    from sweep.plan.job import Work
    from sweep.search.study import Ledger
from sweep.config.request import Wish, _files, wished


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
        from sweep.prepare.cost import budget, together

        needs = together([budget(plan.config, plan.dataset) for plan in self.plans])
        return "\n".join([f"comparison: {self.name}", *(plan.line for plan in self.plans), needs])


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
    from sweep.search.study import refuse_running

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


def _compared(wish: Wish) -> Plans:
    """The plans of several sweeps, which are begun together: whatever ends the driver, all are there, or none."""
    from sweep.search.study import refuse_taken, reopened

    refuse_taken(next(iter(wish.configs.values())), wish.name)
    plans = [new(config, own) for own, config in wish.configs.items()]
    first, *others = (replace(plan, held=partial(reopened, plan.config, plan.name)) for plan in plans)
    return Plans(name=wish.name, plans=[replace(first, held=partial(_begun, wish.name, plans)), *others])


@contextmanager
def _begun(name: str, plans: Sequence[Plan]) -> "Iterator[Ledger]":
    """Make the folders of all sweeps of a comparison, then its own, and hold the first."""
    from sweep.search.study import begin, reopened

    for plan in plans:
        begin(plan.config, plan.name)
    first = plans[0]
    make(first.config.storage / name, LIST, yaml.safe_dump({"sweeps": [plan.name for plan in plans]}))
    with reopened(first.config, first.name) as ledger:
        yield ledger
