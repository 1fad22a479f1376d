"""The studies of a sweep: two in one Optuna database, and the records that their trials hold."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from eval.definitions import DEFINITIONS
from sweep.config.diff import differences
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.records import INTERRUPTED, Phase, Record, State

FILE = "study.db"
"""The database in the sweep's folder, where `ledger` names no other."""
SCORE = "score"
"""The study's attribute that holds how its scores were defined."""
CONFIG = "config"
"""The study's attribute that holds the configuration with which it was begun, but for `CHANGES_NOTHING`."""
CHANGES_NOTHING = {"storage", "cluster"}
"""Blocks that say where and on what trials run: a sweep may be moved."""
PARTS = {
    "start": ("index", "setting", "seed", "started"),
    "end": ("state", "metrics", "curve", "reason", "run_id", "ended", "worker"),
}
"""A trial's attributes, and what of its record each holds: to write one is a commit, for which a worker waits."""
LOST = 20
"""How often a sweep may lose to others over the tables of a database, of which each is made by itself."""
OPTUNA: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
}
STATES = {theirs: ours for ours, theirs in OPTUNA.items()}


def opened(config: SweepConfig, name: str) -> dict[Phase, optuna.Study]:
    """The studies of a sweep, made where they are not there yet.

    Raises:
        ConfigError: the database cannot be opened.
    """
    with quiet():
        storage = _storage(config, name)
        studies = {phase: _made(storage, study, config) for phase, study in _named(name).items()}
    search = studies["search"]
    if not search.get_trials(deepcopy=False):
        search.set_user_attr(SCORE, DEFINITIONS["score"])
        search.set_user_attr(CONFIG, asked(config))
    return studies


def asked(config: SweepConfig) -> dict[str, object]:
    """What of a configuration a sweep keeps to its end."""
    return config.model_dump(mode="json", exclude=CHANGES_NOTHING)


def refuse_changed(config: SweepConfig, name: str) -> None:
    """Raise ConfigError where a sweep was begun with another configuration than the one that is given.

    Raises:
        ConfigError: as it says; or the database cannot be opened.
    """
    search = there(config, name).get("search")
    begun = asked(config) if search is None else search.user_attrs.get(CONFIG, asked(config))
    for key, one, two in differences(begun, asked(config)):
        raise ConfigError(
            f"{key} = {two} in {config.storage / name / 'config.yaml'} was {one} when the sweep began: its trials would"
            " not be comparable; put it back, or begin another sweep."
        )


def there(config: SweepConfig, name: str) -> dict[Phase, optuna.Study]:
    """Those of a sweep's studies that are there; makes and closes nothing.

    Raises:
        ConfigError: the database cannot be opened.
    """
    if not _to_be_opened(config, name):
        return {}
    with quiet():
        storage = _storage(config, name)
        names = optuna.get_all_study_names(storage)
        wanted = {phase: study for phase, study in _named(name).items() if study in names}
        return {phase: optuna.load_study(study_name=study, storage=storage) for phase, study in wanted.items()}


def taken(config: SweepConfig, name: str) -> bool:
    """Whether a database that sweeps share has a study of this name already.

    Raises:
        ConfigError: the database cannot be opened.
    """
    return config.ledger is not None and "search" in there(config, name)


def attempts(phase: Phase, study: optuna.Study) -> list[Record]:
    """Every attempt at a trial, in the order in which they were begun."""
    records = [record_of(phase, trial) for trial in study.get_trials(deepcopy=False)]
    return [record for record in records if record is not None]


def record_of(phase: Phase, trial: FrozenTrial) -> Record | None:
    """An attempt as a record; None where the driver died before it had all of its start."""
    if "start" not in trial.user_attrs:
        return None
    start, state = trial.user_attrs["start"], STATES[trial.state]
    # What a driver left open when it died has no end of its own.
    lost = {"reason": INTERRUPTED, "ended": start["started"]} if state == "failed" else {}
    return Record(**{"phase": phase, "state": state} | start | trial.user_attrs.get("end", lost))


def last(records: Sequence[Record]) -> dict[int, Record]:
    """The last attempt at every trial, by index."""
    return dict(sorted({record.index: record for record in records}.items()))


def keep(trial: optuna.Trial, record: Record, part: Literal["start", "end"]) -> None:
    """Hold a part of the record in the study, durably."""
    trial.set_user_attr(part, {key: getattr(record, key) for key in PARTS[part]})


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from telling the user's terminal about each study and about parts that are still experimental."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # A trial whose process died is tried again, and comes to the same epoch twice.
        warnings.filterwarnings("ignore", "The reported value is ignored", UserWarning)
        yield


def _to_be_opened(config: SweepConfig, name: str) -> bool:
    """Whether there is a database, or an address that is to be refused; SQLite would make the file of a missing one."""
    if config.ledger is None:
        return (config.storage / name / FILE).exists()
    dialect, _, place = config.ledger.partition(":///")
    file = Path(place.partition("?")[0])
    return not dialect.startswith("sqlite") or file.exists() or not file.parent.is_dir()


def _named(name: str) -> dict[Phase, str]:
    return {"search": name, "finalist": f"{name}/finalists"}


def _storage(config: SweepConfig, name: str) -> RDBStorage:
    url = config.ledger or f"sqlite:///{config.storage / name / FILE}"
    try:
        return _with_tables(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise ConfigError(f"ledger = {url!r} cannot be opened: {str(error).splitlines()[0]}") from None


def _with_tables(url: str) -> RDBStorage:
    """The database; of several sweeps that make the tables of a fresh one at once, who loses finds them made."""
    for _ in range(LOST):
        try:
            return RDBStorage(url)
        except SQLAlchemyError as error:
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(0.2)
    return RDBStorage(url)


def _made(storage: RDBStorage, name: str, config: SweepConfig) -> optuna.Study:
    """A study with the directions of what it is told, forget ES and retain ES for a search on both sides."""
    down, up = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
    directions = [down, up] if config.search.sampler == "nsga2" else [down]
    return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
