"""The Optuna study of a sweep: the persistent record of all trials, and the source of the next setting."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import optuna
from filelock import FileLock, Timeout
from optuna.trial import TrialState

from eval.metrics.calibrated_score import extraction_strengths
from sweep.atomic_io import atomic_write, create_folder
from sweep.config import space
from sweep.config.schema import SweepConfig
from sweep.config.stored import CONFIG_FILE, dump_stored_config, load_stored_config
from sweep.errors import ConfigError
from sweep.records import INTERRUPTED_REASON, Phase, Setting, TrialRecord, now
from sweep.search import asha, storage, warm_start
from sweep.search.samplers import SAMPLERS, build_sampler

LOCK_FILE = ".lock"
REVISIONS_ATTRIBUTE = "revisions"
"""The study attribute that lists the revisions of the code that ran the sweep, in their order."""


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """A trial to be run; `setting` is None where the sampler is to choose it."""

    phase: Phase
    index: int
    seed: int
    setting: Setting | None


class SweepStudy:
    """Persistent record of all trials: the single source of truth for resume.

    It consists of three studies in one database: NAME for the search, NAME/race for the race and NAME/finalists for the
    report seeds; repeats would mislead the sampler. User attributes hold our index, seed, setting, metrics, curve,
    reason, run id and times, so that everything else that the sweep writes can be rebuilt from the database.
    """

    def __init__(self, config: SweepConfig, name: str) -> None:
        """Open or create the studies, close attempts that an earlier run left open, and add the warm-start trials.

        Raises:
            ConfigError: the database cannot be opened, or the trials of a sweep in `search.warm_start` cannot be used.
        """
        self._config = config
        self._distributions = space.build_distributions(config)
        self._studies = storage.open_studies(config, name)
        self._open_trials: dict[tuple[Phase, int], optuna.Trial] = {}
        self._close_leftover_attempts()
        warm_start.add_earlier_trials(config, self._studies["search"])

    def list_records(self) -> list[TrialRecord]:
        """Return the last attempt of every trial, search first, by index."""
        return [record for phase in self._studies for record in self.find_last_attempts(phase).values()]

    def count_running(self, phase: Phase) -> int:
        """Return how many trials of the phase are running."""
        return sum(open_phase == phase for open_phase, _ in self._open_trials)

    def list_attempts(self, phase: Phase) -> list[TrialRecord]:
        """Return every attempt at the trials of the phase, in the order in which they began."""
        return storage.read_attempts(phase, self._studies[phase])

    def list_all_attempts(self) -> list[TrialRecord]:
        """Return every attempt at every trial, search first, in the order in which they began."""
        return [record for phase in self._studies for record in self.list_attempts(phase)]

    def find_last_attempts(self, phase: Phase) -> dict[int, TrialRecord]:
        """Return the last attempt of every trial of the phase, by index."""
        return storage.select_last_attempts(self.list_attempts(phase))

    def open_attempt(self, task: TrialRequest) -> TrialRecord:
        """Open an attempt at a requested trial, with the request's setting or one from the sampler."""
        study = self._studies[task.phase]
        if task.phase != "search":
            # A repeated setting may lie outside the space, so it is kept as an attribute, not as Optuna's parameters.
            trial, setting = study.ask(), task.setting
        else:
            with storage.silence_optuna():
                study.sampler = build_sampler(self._config, task.index, task.setting)
                trial = study.ask(self._distributions)
            setting = self._config.fixed | {key: trial.params[key] for key in self._config.space}
        assert setting is not None, "a repeat has a setting"
        record = TrialRecord(
            phase=task.phase, index=task.index, setting=setting, seed=task.seed, state="running", started=now()
        )
        storage.save_record_part(trial, record, "start")
        self._open_trials[task.phase, task.index] = trial
        return record

    def should_prune(self, record: TrialRecord) -> bool:
        """Report the newest point of a running trial's curve to the study; return True if ASHA stops the trial."""
        point, epochs = record.curve[-1], int(record.setting.get("train.epochs", self._config.train.epochs))
        epoch = int(point["epoch"])
        if self._config.search.stop == "none" or record.phase != "search" or not asha.is_rung(epoch, epochs):
            return False
        forget = extraction_strengths(point).forget
        with storage.silence_optuna():
            self._open_trials[record.phase, record.index].report(forget, epoch)
        return asha.should_prune(forget, epoch, self._studies[record.phase].get_trials(deepcopy=False))

    def close_attempt(self, record: TrialRecord) -> TrialRecord:
        """Commit the end of the record's attempt; a finished trial without a finite score becomes failed."""
        if record.state == "finished" and not math.isfinite(record.score):
            record = replace(record, state="failed", reason=record.reason or "the trial gave no finite score")
        record = replace(record, ended=now())
        trial = self._open_trials[record.phase, record.index]
        storage.save_record_part(trial, record, "end")
        self._tell_sampler(trial, record)
        del self._open_trials[record.phase, record.index]
        return record

    def fail_open_attempts(self) -> None:
        """Close every open attempt as failed; a resumed sweep runs its setting again."""
        for record in self.list_records():
            if record.state == "running":
                self.close_attempt(replace(record, state="failed", reason=INTERRUPTED_REASON))

    @property
    def run_id(self) -> str | None:
        """The id of the sweep's MLflow run; None if the sweep was never tracked, empty if the run is not known."""
        return self._studies["search"].user_attrs.get("run_id")

    def save_config(self) -> None:
        """Save the configuration in the study as the one that must stay the same from now on."""
        self._studies["search"].set_user_attr(storage.CONFIG_ATTRIBUTE, storage.comparable_config(self._config))

    def save_run_id(self, run_id: str) -> None:
        """Save the id of the sweep's MLflow run in the study."""
        self._studies["search"].set_user_attr("run_id", run_id)

    def add_revision(self, revision: str) -> None:
        """Save the revision of the code that runs the sweep, after others that ran it before."""
        known = self._studies["search"].user_attrs.get(REVISIONS_ATTRIBUTE, [])
        if revision not in known:
            self._studies["search"].set_user_attr(REVISIONS_ATTRIBUTE, [*known, revision])

    def _list_optuna_values(self, record: TrialRecord) -> list[float]:
        """Return the values of a finished trial for Optuna: its score, or with two directions forget and retain ES."""
        if len(SAMPLERS[self._config.search.sampler].directions) == 1:
            return [record.score]
        # A diverged trial has no ES of its own: its score is the reference's forget ES, and its retain ES counts as 0.
        return [*extraction_strengths(record.metrics)] if "forget/es" in record.metrics else [record.score, 0.0]

    def _tell_sampler(self, trial: optuna.Trial | int, record: TrialRecord) -> None:
        """Tell Optuna how an attempt ended."""
        values = self._list_optuna_values(record) if record.state == "finished" else None
        self._studies[record.phase].tell(trial, values, storage.OPTUNA_STATES[record.state])

    def _close_leftover_attempts(self) -> None:
        """Close attempts that a dead driver left open: with their saved end where there is one, else as failed."""
        for phase, study in self._studies.items():
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                record = storage.decode_record(phase, trial)
                if record is None or record.state == "running":
                    study.tell(trial.number, state=TrialState.FAIL)
                else:
                    self._tell_sampler(trial.number, record)


@contextmanager
def create_study(config: SweepConfig, name: str) -> Iterator[SweepStudy]:
    """Create the sweep's folder, lock it, and yield its study.

    Raises:
        ConfigError: as `refuse_taken_name` and `reopen_study` do.
    """
    create_sweep_folder(config, name)
    with reopen_study(config, name) as ledger:
        yield ledger


def create_sweep_folder(config: SweepConfig, name: str) -> None:
    """Create the sweep's folder with its config.yaml.

    Raises:
        ConfigError: as `refuse_taken_name` does.
    """
    refuse_taken_name(config, name)
    try:
        create_folder(config.storage / name, CONFIG_FILE, dump_stored_config(config))
    except OSError:
        refuse_taken_name(config, name)  # another process created it first
        raise


@contextmanager
def reopen_study(config: SweepConfig, name: str) -> Iterator[SweepStudy]:
    """Lock the folder of a sweep, and yield its study.

    Raises:
        ConfigError: another process has locked the folder, or the study cannot be opened.
    """
    with _lock_folder(config, name):
        yield SweepStudy(config, name)


@contextmanager
def resume_study(config: SweepConfig, name: str) -> Iterator[SweepStudy]:
    """Lock the folder of a sweep, store the configuration with which it goes on, and yield its study.

    Raises:
        ConfigError: as `reopen_study` does.
    """
    with _lock_folder(config, name):
        if load_stored_config(config.storage, name) != config:
            atomic_write(config.storage / name / CONFIG_FILE, dump_stored_config(config))
        study = SweepStudy(config, name)
        study.save_config()
        yield study


def refuse_running_sweep(config: SweepConfig, name: str) -> None:
    """Raise ConfigError if another process is running the sweep, before anything is prepared in vain."""
    with _lock_folder(config, name):
        pass


def read_records(config: SweepConfig, name: str) -> list[TrialRecord]:
    """Read the records of a sweep that another process may be running; nothing is locked or closed.

    Returns:
        The same as `SweepStudy.list_records`, open trials as running; an empty list where there is no study yet.

    Raises:
        ConfigError: the database cannot be opened.
    """
    there = storage.load_existing_studies(config, name)
    return [
        r
        for phase, study in there.items()
        for r in storage.select_last_attempts(storage.read_attempts(phase, study)).values()
    ]


def read_revisions(config: SweepConfig, name: str) -> list[str]:
    """Read the revisions of the code that ran a sweep, in their order; empty where none was saved.

    Raises:
        ConfigError: the database cannot be opened.
    """
    search = storage.load_existing_studies(config, name).get("search")
    return [] if search is None else [*search.user_attrs.get(REVISIONS_ATTRIBUTE, [])]


def is_running(config: SweepConfig, name: str) -> bool:
    """Return True if another process is running the sweep."""
    try:
        refuse_running_sweep(config, name)
    except ConfigError:
        return True
    return False


def refuse_taken_name(config: SweepConfig, name: str) -> None:
    """Raise ConfigError if a sweep has this name already, or storage or study cannot be used; create no folder."""
    there = next(folder for folder in (config.storage, *config.storage.parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"storage = {str(config.storage)!r} must be a writable folder, but {there} is not.")
    if (config.storage / name).exists() or storage.is_name_taken(config, name):
        raise ConfigError(f"name = {name!r} exists; choose another with --name, or go on with --resume {name}.")


@contextmanager
def _lock_folder(config: SweepConfig, name: str) -> Iterator[None]:
    """Lock the folder of a sweep against every other process."""
    lock = FileLock(config.storage / name / LOCK_FILE, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"name = {name!r}: another process is running this sweep.") from None
    try:
        yield
    finally:
        lock.release()
