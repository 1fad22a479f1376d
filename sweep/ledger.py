"""The ledger: an Optuna study that holds every trial of a sweep, and asks for the next setting."""

import math
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import optuna
from filelock import FileLock, Timeout
from numpy.random import SeedSequence
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from sweep import space
from sweep.compose import dump
from sweep.config import ConfigError, SweepConfig
from sweep.record import Phase, Record, Setting, State
from sweep.redaction import redact

CONFIG = "config.yaml"
"""The resolved configuration in the sweep's folder."""
LOCK = ".lock"
PHASES: tuple[Phase, ...] = ("search", "finalist")
STARTUP = 8
"""Random settings before TPE models the scores: a third of a sweep of 24."""
OPTUNA: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
}
START = ("index", "setting", "seed", "started")
"""What the ledger holds of a trial from its start on; at its end come `END`."""
END = ("metrics", "curve", "reason", "run_id", "ended", "worker")
INTERRUPTED = "interrupted"
STATES = {theirs: ours for ours, theirs in OPTUNA.items()}


@dataclass(frozen=True, kw_only=True)
class Task:
    """A trial to be run; `setting` is None where the sampler shall choose it."""

    phase: Phase
    index: int
    seed: int
    setting: Setting | None


class Ledger:
    """The trials of a sweep, durable; what is not in here did not happen.

    Two studies of one database: NAME for the search, NAME/finalists for the repeats on fresh seeds, which would mislead
    the sampler. User attributes hold our index, seed, setting, metrics, curve, reason, run id and times, so that
    everything else that the sweep writes can be made again from the database.
    """

    def __init__(self, config: SweepConfig, name: str) -> None:
        """Open the ledger, or make it; attempts that a former run left open are closed as failed.

        Raises:
            ConfigError: the database cannot be opened.
        """
        self._config = config
        self._distributions = space.distributions(config)
        names = {"search": name, "finalist": f"{name}/finalists"}
        with _quiet():
            storage = _storage(config, name)
            self._studies = {phase: _study(storage, names[phase]) for phase in PHASES}
        self._open: dict[tuple[Phase, int], optuna.Trial] = {}
        self._close_leftovers()

    def records(self) -> list[Record]:
        """The last attempt of every trial, search first, by index."""
        return [record for phase in PHASES for record in self.last(phase).values()]

    def running(self, phase: Phase) -> bool:
        """Whether a trial of the phase is under way."""
        return any(open_phase == phase for open_phase, _ in self._open)

    def last(self, phase: Phase) -> dict[int, Record]:
        """The last attempt of every trial of the phase, by index."""
        attempts = (_record(phase, trial) for trial in self._studies[phase].get_trials(deepcopy=False))
        last = {record.index: record for record in attempts if record is not None}
        return dict(sorted(last.items()))

    def ask(self, task: Task) -> Record:
        """Open an attempt at the task, with the task's setting or one from the sampler."""
        study = self._studies[task.phase]
        if task.phase == "finalist":
            # Any setting may be a finalist, also one outside the space: it is an attribute, not Optuna's parameters.
            trial, setting = study.ask(), task.setting
        else:
            with _quiet():
                study.sampler = _sampler(self._config, task)
                trial = study.ask(self._distributions)
            setting = self._config.fixed | {key: trial.params[key] for key in self._config.space}
        assert setting is not None, "a finalist has a setting"
        record = Record(
            phase=task.phase, index=task.index, setting=setting, seed=task.seed, state="running", started=time.time()
        )
        _keep(trial, record, START)
        self._open[task.phase, task.index] = trial
        return record

    def end(self, record: Record) -> Record:
        """Close the record's attempt, durably; a finished trial without a finite score becomes a failed one."""
        if record.state == "finished" and not math.isfinite(record.score):
            record = replace(record, state="failed", reason=record.reason or "the trial gave no finite score")
        record = replace(record, ended=time.time())
        trial = self._open.pop((record.phase, record.index))
        _keep(trial, record, END)
        score = record.score if record.state == "finished" else None
        self._studies[record.phase].tell(trial, score, OPTUNA[record.state])
        return record

    def interrupt(self) -> None:
        """End every open attempt as failed; a resumed sweep runs its setting again."""
        for record in self.records():
            if record.state == "running":
                self.end(replace(record, state="failed", reason=INTERRUPTED))

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the sweep; None if it never was tracked, empty if its run is not known."""
        return self._studies["search"].user_attrs.get("run_id")

    def keep_run_id(self, run_id: str) -> None:
        """Remember the MLflow run of the sweep."""
        self._studies["search"].set_user_attr("run_id", run_id)

    def _close_leftovers(self) -> None:
        for study in self._studies.values():
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)


@contextmanager
def created(config: SweepConfig, name: str) -> Iterator[Ledger]:
    """Make the sweep's folder with its config.yaml, and hold it with its ledger.

    Raises:
        ConfigError: as `refuse_taken` does.
    """
    refuse_taken(config, name)
    folder = config.storage / name
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(dump(config), encoding="utf-8")
    with reopened(config, name) as ledger:
        yield ledger


@contextmanager
def reopened(config: SweepConfig, name: str) -> Iterator[Ledger]:
    """Hold the folder of a sweep with its ledger.

    Raises:
        ConfigError: another process holds it, or the ledger cannot be opened.
    """
    lock = FileLock(config.storage / name / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"name = {name!r}: another process is running this sweep.") from None
    try:
        yield Ledger(config, name)
    finally:
        lock.release()


def refuse_taken(config: SweepConfig, name: str) -> None:
    """Raise ConfigError where a sweep has this name already, or storage or ledger cannot be used; makes no folder."""
    there = next(folder for folder in (config.storage, *config.storage.parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"storage = {str(config.storage)!r} must be a folder to write in, but {there} is none.")
    if (config.storage / name).exists() or (config.ledger is not None and name in _names(config, name)):
        raise ConfigError(f"name = {name!r} exists; choose another with --name, or go on with --resume {name}.")


def _names(config: SweepConfig, name: str) -> list[str]:
    with _quiet():
        return optuna.get_all_study_names(_storage(config, name))


def _sampler(config: SweepConfig, task: Task) -> BaseSampler:
    """A fresh sampler of the trial's own seed: what it asks depends on the ledger alone, not on who asked before."""
    seed = int(SeedSequence((config.seed, task.index)).generate_state(1)[0])
    match config.search.sampler:
        case "tpe":
            sampler: BaseSampler = TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP)
        case "random":
            sampler = RandomSampler(seed=seed)
    given = {} if task.setting is None else {key: task.setting[key] for key in config.space}
    return PartialFixedSampler(given, sampler)


def _record(phase: Phase, trial: FrozenTrial) -> Record | None:
    """The attempt as a record; None where the driver died before it had all of its start."""
    if not trial.user_attrs.keys() >= set(START):
        return None
    state = STATES[trial.state]
    # What a driver left open when it died has no end of its own.
    end = {"reason": INTERRUPTED, "ended": trial.user_attrs["started"]} if state == "failed" else {}
    return Record(phase=phase, state=state, **(end | trial.user_attrs))


def _keep(trial: optuna.Trial, record: Record, keys: Sequence[str]) -> None:
    for key in keys:
        trial.set_user_attr(key, getattr(record, key))


def _storage(config: SweepConfig, name: str) -> optuna.storages.RDBStorage:
    url = config.ledger or f"sqlite:///{config.storage / name / 'study.db'}"
    try:
        return optuna.storages.RDBStorage(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise ConfigError(redact(f"ledger = {url!r} cannot be opened: {str(error).splitlines()[0]}")) from None


def _study(storage: optuna.storages.RDBStorage, name: str) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling the user's terminal about each study and about samplers that are still experimental."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
