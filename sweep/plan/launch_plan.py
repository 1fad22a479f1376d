"""The checked plan of one command: one sweep, or several that run concurrently and are compared at the end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sweep import status
from sweep.atomic_io import create_folder
from sweep.config.diff import list_changes
from sweep.config.request import SweepRequest, leading_files, parse_request
from sweep.config.schema import SweepConfig
from sweep.config.stored import (
    SWEEP_LIST_FILE,
    list_sweep_names,
    load_stored_config,
    parse_resume,
    sweep_arguments,
)
from sweep.errors import ConfigError
from sweep.plan.changes import change_by_overrides, change_by_request, check_changes
from sweep.plan.checks import check_databases, check_packages
from sweep.plan.sweep_plan import SweepPlan, plan_new_sweep, plan_resumed_sweep

if TYPE_CHECKING:
    from sweep.prepare.preparers import Preparer
    from sweep.search.study import SweepStudy

CHECKING = "checking the model and the rows"
"""Status while sweeps are planned."""


@dataclass(frozen=True, kw_only=True)
class LaunchPlan:
    """The sweeps of one command; planning them has written nothing, but digests of a local model's files.

    Attributes:
        name: the sweep's name, or the comparison's, which is the prefix of the names of its sweeps.
        plans: the plan of each sweep.
    """

    name: str
    plans: Sequence[SweepPlan]

    @property
    def is_comparison(self) -> bool:
        """True for a comparison, which has a folder of its own."""
        return self.plans[0].name != self.name

    @property
    def folder(self) -> Path:
        """Folder for the files of the sweep or of the comparison."""
        return self.plans[0].config.storage / self.name

    @property
    def preparers(self) -> "list[Preparer]":
        """Functions that make the missing artifacts, each of them once where several sweeps share it."""
        artifacts = [plan.artifacts for plan in self.plans]
        first = [plan for place, plan in enumerate(self.plans) if artifacts.index(plan.artifacts) == place]
        return [preparer for plan in first for preparer in plan.preparers]

    @property
    def resume_command(self) -> str:
        """Instruction to resume: the command, or to repeat the original command if there is no folder yet."""
        if not self.folder.exists():
            return "give the same command again"
        first = self.plans[0]
        stored = load_stored_config(first.config.storage, first.name)  # as it was, until the sweeps begin to go on
        changes = [f"{key}={new}" for key, _, new in list_changes(stored.model_dump(), first.config.model_dump())]
        command = f"python -m sweep.launch --resume {sweep_arguments(first.config.storage, self.name)}"
        return " ".join([command, *changes])

    @property
    def notes(self) -> list[str]:
        """Sentences that a reader of the sweeps' numbers has to know, once each."""
        return list(dict.fromkeys(note for plan in self.plans for note in plan.notes))


def plan_new(words: Sequence[str], name: str | None) -> LaunchPlan:
    """Plan new sweeps from config files, followed by overrides `key=value`; generate a name if `name` is None.

    Raises:
        ConfigError: a configuration is invalid, a name is taken, or MLflow or a study cannot have its database.
        DataError: the rows cannot be loaded.
    """
    check_packages()
    request = parse_request(words, name)
    status.say_early(CHECKING)
    check_databases(request.configs)
    if request.name not in request.configs:
        return _plan_comparison(request)
    return LaunchPlan(name=request.name, plans=[plan_new_sweep(config, own) for own, config in request.configs.items()])


def plan_resume(words: Sequence[str], name: str) -> LaunchPlan:
    """Plan to resume a sweep or a comparison.

    Args:
        words: storage=DIR and what `sweep.plan.changes` may change, or the original arguments, with such changes:
            config files and overrides.
        name: name of the sweep or of the comparison.

    Raises:
        ConfigError: the name does not exist, another process is running it, or the arguments differ from the original
            in more than may change.
        DataError: the rows can no longer be loaded.
    """
    check_packages()
    if leading_files(words):
        return _plan_same_request(parse_request(words, name))
    storage, overrides = parse_resume(words, name)
    begun = _load_stored_configs(storage, name)
    return _plan_changed(name, begun, {own: change_by_overrides(storage, own, overrides) for own in begun})


def _load_stored_configs(storage: Path, name: str) -> dict[str, SweepConfig]:
    """Load the stored configurations of a sweep or of a comparison's sweeps, by name."""
    return {own: load_stored_config(storage, own) for own in list_sweep_names(storage, name)}


def _plan_same_request(request: SweepRequest) -> LaunchPlan:
    """Plan to resume sweeps that were begun with the same arguments."""
    begun = _load_stored_configs(next(iter(request.configs.values())).storage, request.name)
    there, here = [*begun], [*request.configs]
    if there != here:
        raise ConfigError(
            f"--resume {request.name}: it holds {', '.join(there)}, but the command names {', '.join(here)}."
        )
    changed = {own: change_by_request(config, request, own) for own, config in begun.items()}
    return _plan_changed(request.name, begun, changed)


def _plan_changed(name: str, begun: Mapping[str, SweepConfig], changed: Mapping[str, SweepConfig]) -> LaunchPlan:
    """Plan to go on with stored sweeps, and refuse those that another process is running."""
    from sweep.search.study import refuse_running_sweep

    status.say_early(CHECKING)
    check_databases(changed)
    check_changes(begun, changed)
    plans = [plan_resumed_sweep(begun[own], config, own) for own, config in changed.items()]
    for plan in plans:
        refuse_running_sweep(plan.config, plan.name)
    return LaunchPlan(name=name, plans=plans)


def _plan_comparison(request: SweepRequest) -> LaunchPlan:
    """Plan a comparison whose sweeps begin together: if the driver dies, all exist or the comparison does not."""
    from sweep.search.study import refuse_taken_name, reopen_study

    refuse_taken_name(next(iter(request.configs.values())), request.name)
    plans = [plan_new_sweep(config, own) for own, config in request.configs.items()]
    first, *others = (replace(plan, open_study=partial(reopen_study, plan.config, plan.name)) for plan in plans)
    return LaunchPlan(
        name=request.name, plans=[replace(first, open_study=partial(_begin_comparison, request.name, plans)), *others]
    )


@contextmanager
def _begin_comparison(name: str, plans: Sequence[SweepPlan]) -> "Iterator[SweepStudy]":
    """Create the folders of all sweeps of a comparison, then its own, and open the study of the first."""
    from sweep.search.study import create_sweep_folder, reopen_study

    for plan in plans:
        create_sweep_folder(plan.config, plan.name)
    first = plans[0]
    create_folder(
        first.config.storage / name, SWEEP_LIST_FILE, yaml.safe_dump({"sweeps": [plan.name for plan in plans]})
    )
    with reopen_study(first.config, first.name) as ledger:
        yield ledger
