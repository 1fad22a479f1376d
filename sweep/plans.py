"""What a command line asks for, checked: one sweep, or several that run side by side and are compared at the end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel

from sweep.compose import default_name, load, valid_name
from sweep.config import ConfigError, SweepConfig
from sweep.matrix import Member, is_matrix, members
from sweep.plan import STORAGE, Plan, new, resumed, storage_of
from sweep.stored import LIST, names_of

if TYPE_CHECKING:
    from collections.abc import Callable

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
        works = [plan.work for plan in self.plans]
        return [work if own else replace(work, makers=()) for work, own in zip(works, first, strict=True)]

    @property
    def again(self) -> str:
        """The command that goes on, or starts it where there is no ledger yet."""
        if not self.folder.exists():
            return "give the same command again"
        storage = self.plans[0].config.storage
        elsewhere = "" if storage == STORAGE.absolute() else f" storage={storage}"
        return f"python -m sweep.launch --resume {self.name}{elsewhere}"

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
    count = next((place for place, word in enumerate(words) if "=" in word or word.startswith("~")), len(words))
    files, overrides = [Path(word) for word in words[:count]], words[count:]
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
    """The plans of what is there already, a sweep or a comparison; the only word it takes is storage=DIR.

    Raises:
        ConfigError: there is nothing of this name, or another word is given.
        DataError: the rows cannot be had any more.
    """
    storage = storage_of(words, "--resume")
    return Plans(name=name, plans=[resumed(storage, own) for own in names_of(storage, name)])


def _several(files: Sequence[Path], overrides: Sequence[str], wanted: str | None) -> Wish:
    """Several sweeps, which can be compared."""
    name = wanted or default_name("-".join(file.stem for file in files), datetime.now(UTC))
    changed = [replace(one, choices=(*one.choices, *overrides)) for one in members(files, overrides)]
    named = {valid_name(f"{name}.{one.name}"): one for one in changed}
    configs = {own: load(one.file, one.choices) for own, one in named.items()}
    _check_shared(configs)
    return Wish(name=name, files=files, members=named, configs=configs)


def _compared(wish: Wish) -> Plans:
    """The plans of several sweeps."""
    name, configs = wish.name, dict(wish.configs)
    experiments = {(config.model.name, config.data.name) for config in configs.values()}
    if len(experiments) > 1:
        configs = {
            own: config.model_copy(update={"experiment": config.experiment or name}) for own, config in configs.items()
        }
    from sweep.ledger import refuse_taken

    refuse_taken(next(iter(configs.values())), name)
    plans = [new(config, own) for own, config in configs.items()]
    *others, last = plans
    listed = replace(last, held=partial(_listed, last.config.storage / name, list(configs), last.held))
    return Plans(name=name, plans=[*others, listed])


def _check_shared(configs: dict[str, SweepConfig]) -> None:
    """Refuse sweeps that could not be compared, or not be run on the same workers."""
    (first, ours), *others = configs.items()
    for (name, config), key in product(others, SHARED):
        if getattr(config, key) == getattr(ours, key):
            continue
        where, one, other = _difference(key, getattr(ours, key), getattr(config, key))
        raise ConfigError(
            f"{where} = {one} in {first} but {other} in {name}: sweeps that are compared have the same"
            f" {', '.join(SHARED)}: give {where}=VALUE for all of them."
        )


def _difference(key: str, one: object, other: object) -> tuple[str, object, object]:
    """The first key that two blocks do not have in common, with both values."""
    if not isinstance(one, BaseModel):
        return key, one, other
    fields = type(one).model_fields
    name = next(name for name in fields if getattr(one, name) != getattr(other, name))
    return f"{key}.{name}", getattr(one, name), getattr(other, name)


@contextmanager
def _listed(
    folder: Path, names: Sequence[str], held: "Callable[[], AbstractContextManager[Ledger]]"
) -> "Iterator[Ledger]":
    """Make the comparison's folder once the ledgers of all its sweeps are there."""
    with held() as ledger:
        folder.mkdir()
        (folder / LIST).write_text(yaml.safe_dump({"sweeps": list(names)}), encoding="utf-8")
        yield ledger
