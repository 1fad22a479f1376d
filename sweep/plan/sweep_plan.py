"""The checked plan of a sweep: its configuration, its name, its rows, and the places of its artifacts."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from eval import datasets
from eval.rows.types import Dataset
from sweep.config.schema import MAX_EXPERIMENT_CHARS, SweepConfig
from sweep.config.stored import load_stored_config
from sweep.errors import ConfigError
from sweep.plan.changes import describe_changes
from sweep.plan.checks import check_lora_targets, check_model_loadable, check_row_lengths, check_steps
from sweep.plan.hub_commits import hash_local_models, pin_commits
from sweep.plan.row_template import fill_template
from sweep.records import Setting
from sweep.results.notes import list_notes

if TYPE_CHECKING:
    from sweep.prepare.artifacts import Artifacts
    from sweep.prepare.preparers import Preparer
    from sweep.search.study import SweepStudy
    from sweep.trial.outcomes import TrialFn


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A sweep that is ready to start; planning it has written nothing, but digests of a local model's files.

    Attributes:
        config: the resolved configuration.
        name: the name of the sweep and of its folder in the storage.
        dataset: the rows.
        artifacts: the places of the target and of the cached outputs of the reference, which may not exist yet.
        open_study: creates or opens the sweep's folder and study.
        remarks: sentences on how the sweep begins or goes on.
    """

    config: SweepConfig
    name: str
    dataset: Dataset
    artifacts: "Artifacts"
    open_study: "Callable[[], AbstractContextManager[SweepStudy]]"
    remarks: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Folder of the sweep's files."""
        return self.config.storage / self.name

    @property
    def checkpoints_folder(self) -> Path:
        """Folder of the checkpoints of its trials, while it runs."""
        from sweep.trial.runner import CHECKPOINTS_DIR

        return self.folder / CHECKPOINTS_DIR

    @cached_property
    def paper(self) -> Setting | None:
        """The paper's setting for this sweep, if there is one."""
        from sweep.search.paper import find_paper_setting

        return find_paper_setting(self.config)

    @property
    def trial_fn(self) -> "TrialFn":
        """Function that runs one trial on a worker, to which it is pickled."""
        from sweep.results.chosen_models import choose_early_saves
        from sweep.trial.runner import unlearn

        early = choose_early_saves(self.config, self.name, self.paper)
        saves = None if early is None else early.find_request
        return partial(unlearn, self.config, self.artifacts, saves=saves, checkpoints=self.checkpoints_folder)

    @property
    def preparers(self) -> "Sequence[Preparer]":
        """Functions that make the missing artifacts; every existing file is read to compare its checksum."""
        from sweep.prepare.preparers import missing_preparers

        return missing_preparers(self.config, self.dataset, self.artifacts)

    @property
    def summary_line(self) -> str:
        """The planned trials and missing artifacts, in one line."""
        return f"{self.name}: {self.trials_summary}; to prepare: {self.missing_summary}"

    @property
    def notes(self) -> list[str]:
        """Sentences that a reader of the sweep's numbers has to know."""
        return [*self.remarks, *list_notes(self.config, len(self.dataset.holdout))]

    @property
    def rows_summary(self) -> str:
        """The number of rows by part, and what the score cannot read, as text."""
        counts = ", ".join(f"{len(rows)} {part.replace('_', ' ')}" for part, rows in vars(self.dataset).items() if rows)
        lack = "" if self.dataset.has_paraphrases else "; without paraphrased questions, the score is of exact ES alone"
        return f"{counts}{lack}"

    @property
    def trials_summary(self) -> str:
        """The planned numbers of trials, as text."""
        from sweep.search.queue import (
            count_planned_trials,
            count_race_runs,
            count_report_runs,
            count_search_trials,
        )

        hours, search = self.config.search.hours, count_search_trials(self.config)
        limit = "" if hours is None else f" that begin within {hours:g} hours of search"
        race, report = count_race_runs(self.config, self.paper), count_report_runs(self.config, self.paper)
        parts = [f"{'all' if search is None else search}{limit}"]
        parts += [f"a race of at most {race} runs"] if race else []
        parts += [f"{report} runs on report seeds"] if report else []
        together = count_planned_trials(self.config, self.paper)
        most = f": at most {together}" if together is not None and len(parts) > 1 else ""
        return f"{', then '.join(parts)}{most}"

    @property
    def missing_summary(self) -> str:
        """The missing artifacts that would be prepared, as text."""
        return ", ".join(self.artifacts.missing_names) or "nothing, it is all there"


def plan_new_sweep(config: SweepConfig, name: str) -> SweepPlan:
    """Plan a new sweep, pinned to the current commits of its repositories on the hub, its template spelled out.

    Raises:
        ConfigError: the configuration cannot be run, or the name is taken.
        DataError: the rows cannot be loaded.
    """
    from sweep.search import warm_start
    from sweep.search.study import create_study, refuse_taken_name

    refuse_taken_name(config, name)
    validate_config(config)
    pinned = pin_commits(config)
    check_model_loadable(pinned)
    filled = fill_template(pinned)
    remarks = warm_start.validate_warm_start(filled)
    return replace(_build_plan(filled, name, partial(create_study, filled, name)), remarks=remarks)


def plan_stored_sweep(storage: Path, name: str) -> SweepPlan:
    """Plan a sweep that already exists in the storage.

    Raises:
        ConfigError: there is no such sweep, or its configuration was changed since it began.
        DataError: the rows can no longer be loaded.
    """
    from sweep.search.study import reopen_study

    config = load_stored_config(storage, name)
    return _plan_existing(config, config, name, partial(reopen_study, config, name))


def plan_resumed_sweep(begun: SweepConfig, config: SweepConfig, name: str) -> SweepPlan:
    """Plan to go on with a sweep, whose stored configuration is replaced once it begins to run.

    Args:
        begun: its stored configuration.
        config: the one with which it goes on, changed as `sweep.plan.changes` allows.
        name: its name.

    Raises:
        ConfigError: as `plan_stored_sweep` does.
        DataError: the rows can no longer be loaded.
    """
    from sweep.search.study import resume_study

    plan = _plan_existing(begun, config, name, partial(resume_study, config, name))
    return replace(plan, remarks=describe_changes(begun, config, name))


def _plan_existing(
    begun: SweepConfig, config: SweepConfig, name: str, open_study: "Callable[[], AbstractContextManager[SweepStudy]]"
) -> SweepPlan:
    """Plan a sweep that exists, if nobody has changed its stored configuration."""
    from sweep.search.storage import refuse_changed_config

    refuse_changed_config(begun, name)
    validate_config(config)
    check_model_loadable(config)
    hash_local_models(config)
    return _build_plan(config, name, open_study)


def validate_config(config: SweepConfig) -> None:
    """Refuse a configuration that cannot run on any machine, without reading rows, weights or a cluster's state.

    Raises:
        ConfigError: space, training or search do not fit the objective or one another, or the name of MLflow's
            experiment in the environment is invalid.
    """
    from sweep.config import space, train_rules
    from sweep.search import queue
    from sweep.search.paper import find_paper_setting

    _check_experiment_name()
    train_rules.validate_training(config)
    space.validate_space(config)
    queue.validate_search(config, find_paper_setting(config))


def _check_experiment_name() -> None:
    """Refuse a name in MLFLOW_EXPERIMENT_NAME that is too long for `experiment`."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    if len(name) > MAX_EXPERIMENT_CHARS:
        raise ConfigError(f"MLFLOW_EXPERIMENT_NAME = {name!r} must have at most {MAX_EXPERIMENT_CHARS} characters.")


def _build_plan(
    config: SweepConfig, name: str, open_study: "Callable[[], AbstractContextManager[SweepStudy]]"
) -> SweepPlan:
    """Load the rows, check that model and rows fit together, and locate the artifacts."""
    dataset = _load_rows(config.data)
    check_steps(config, dataset)
    check_row_lengths(config, dataset)
    check_lora_targets(config, dataset)
    from sweep.prepare.artifacts import locate_artifacts

    return SweepPlan(
        config=config, name=name, dataset=dataset, artifacts=locate_artifacts(config, dataset), open_study=open_study
    )


@cache
def _load_rows(config: datasets.DatasetOptions) -> Dataset:
    """Load the rows once per process, so that sweeps of one command share them."""
    return datasets.load(config)
