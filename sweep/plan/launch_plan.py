"""The checked plan of one command: one sweep, or several that run concurrently and are compared at the end."""

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
    """The sweeps of one command; planning them has written nothing.

    Attributes:
        name: the sweep's name, or the comparison's, which is the prefix of the names of its sweeps.
        plans: the plan of each sweep.
    """

    name: str
    plans: Sequence[Plan]

    @property
    def several(self) -> bool:
        """True for a comparison, which has a folder of its own."""
        return self.plans[0].name != self.name

    @property
    def folder(self) -> Path:
        """Folder for the files of the sweep or of the comparison."""
        return self.plans[0].config.storage / self.name

    @property
    def works(self) -> "list[Work]":
        """The jobs that Ray runs; artifacts that several sweeps share are prepared by the first of them alone."""
        artifacts = [plan.artifacts for plan in self.plans]
        first = [artifacts.index(one) == place for place, one in enumerate(artifacts)]
        return [
            replace(plan.work, makers=plan.makers) if own else plan.work
            for plan, own in zip(self.plans, first, strict=True)
        ]

    @property
    def again(self) -> str:
        """Instruction to resume: the command, or to repeat the original command if there is no folder yet."""
        if not self.folder.exists():
            return "give the same command again"
        return f"python -m sweep.launch --resume {where(self.plans[0].config.storage, self.name)}"

    def __str__(self) -> str:
        """Return a description of the planned sweeps."""
        if not self.several:
            return str(self.plans[0])
        from sweep.prepare.cost import budget, together

        needs = together([budget(plan.config, plan.dataset) for plan in self.plans])
        return "\n".join([f"comparison: {self.name}", *(plan.line for plan in self.plans), needs])


def asked(words: Sequence[str], name: str | None) -> Plans:
    """Plan new sweeps from config files, followed by overrides `key=value`; generate a name if `name` is None.

    Raises:
        ConfigError: a configuration is invalid, or a name is taken.
        DataError: the rows cannot be loaded.
    """
    wish = wished(words, name)
    if wish.name not in wish.configs:
        return _compared(wish)
    return Plans(name=wish.name, plans=[new(config, own) for own, config in wish.configs.items()])


def again(words: Sequence[str], name: str) -> Plans:
    """Plan to resume a sweep or a comparison.

    Args:
        words: empty, or storage=DIR, or the original arguments: config files and overrides.
        name: name of the sweep or of the comparison.

    Raises:
        ConfigError: the name does not exist, another process is running it, or the arguments differ from the original.
        DataError: the rows can no longer be loaded.
    """
    if _files(words):
        return _begun_with(wished(words, name))
    storage = storage_of(words, "--resume")
    return Plans(name=name, plans=_resumed(storage, name))


def _resumed(storage: Path, name: str) -> list[Plan]:
    """Plan the stored sweeps of this name, and refuse those that another process is running."""
    from sweep.search.study import refuse_running

    plans = [resumed(storage, own) for own in names_of(storage, name)]
    for plan in plans:
        refuse_running(plan.config, plan.name)
    return plans


def _begun_with(wish: Wish) -> Plans:
    """Plan to resume sweeps that were begun with the same arguments."""
    storage = next(iter(wish.configs.values())).storage
    plans = _resumed(storage, wish.name)
    _check_same(wish, plans)
    return Plans(name=wish.name, plans=plans)


def _check_same(wish: Wish, plans: Sequence[Plan]) -> None:
    """Refuse to resume sweeps that were begun with another configuration."""
    there, here = [plan.name for plan in plans], [*wish.configs]
    if there != here:
        raise ConfigError(
            f"--resume {wish.name}: it holds {', '.join(there)}, but the command names {', '.join(here)}."
        )
    for plan in plans:
        wished = same_commits(wish.configs[plan.name], plan.config)
        if other := [*differences(plan.config.model_dump(), wished.model_dump())]:
            said = ", ".join(f"{key} is {one} there and {two} here" for key, one, two in other)
            raise ConfigError(f"--resume {plan.name}: it was begun with another configuration: {said}.")


def _compared(wish: Wish) -> Plans:
    """Plan a comparison whose sweeps begin together: if the driver dies, all exist or the comparison does not."""
    from sweep.search.study import refuse_taken, reopened

    refuse_taken(next(iter(wish.configs.values())), wish.name)
    plans = [new(config, own) for own, config in wish.configs.items()]
    first, *others = (replace(plan, held=partial(reopened, plan.config, plan.name)) for plan in plans)
    return Plans(name=wish.name, plans=[replace(first, held=partial(_begun, wish.name, plans)), *others])


@contextmanager
def _begun(name: str, plans: Sequence[Plan]) -> "Iterator[Ledger]":
    """Create the folders of all sweeps of a comparison, then its own, and open the study of the first."""
    from sweep.search.study import begin, reopened

    for plan in plans:
        begin(plan.config, plan.name)
    first = plans[0]
    make(first.config.storage / name, LIST, yaml.safe_dump({"sweeps": [plan.name for plan in plans]}))
    with reopened(first.config, first.name) as ledger:
        yield ledger
