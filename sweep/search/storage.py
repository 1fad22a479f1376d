"""Open a sweep's two studies in one Optuna database, and read and write the records that their trials hold."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from eval.definitions import define_score
from sweep.config.diff import find_differences, list_changes, list_cuts
from sweep.config.schema import SAVING_KEYS, SweepConfig
from sweep.errors import ConfigError
from sweep.records import INTERRUPTED_REASON, Phase, State, TrialRecord
from sweep.search.samplers import SAMPLERS
from sweep.services import databases

DATABASE_FILE = "study.db"
"""The database file in the sweep's folder; used where the config key `ledger` is not set."""
SCORE_ATTRIBUTE = "score"
"""The study attribute that holds the definition of its scores."""
CONFIG_ATTRIBUTE = "config"
"""The study attribute that holds the configuration with which it began, without `CHANGEABLE_BLOCKS`."""
CHANGEABLE_BLOCKS = {"storage", "cluster", *SAVING_KEYS}
"""Configuration blocks that may change between runs of a sweep, and change no number of a trial.

They say where it is stored, where its trials run, and which models are kept.
"""
RECORD_PARTS = {
    "start": ("index", "setting", "seed", "started"),
    "end": (
        *("state", "metrics", "curve", "reason", "run_id", "ended", "worker"),
        *("answers", "target_metrics", "g_effects"),
    ),
}
"""The trial attributes, and the record's fields that each holds: writing one is a commit, and a worker waits for it."""
MAX_TABLE_RETRIES = 20
"""Retries where other sweeps create tables of the same new database at the same time (each table is one commit)."""
OPTUNA_STATES: dict[State, TrialState] = {
    "running": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "failed": TrialState.FAIL,
    "pruned": TrialState.PRUNED,
}
RECORD_STATES = {theirs: ours for ours, theirs in OPTUNA_STATES.items()}


def open_studies(config: SweepConfig, name: str) -> dict[Phase, optuna.Study]:
    """Open the studies of a sweep, and create those that do not exist yet.

    Raises:
        ConfigError: the database cannot be opened.
    """
    with silence_optuna():
        storage = _open_database(config, name)
        studies = {phase: _create_study(storage, study, config) for phase, study in _name_studies(name).items()}
    search = studies["search"]
    if not search.get_trials(deepcopy=False):
        search.set_user_attr(SCORE_ATTRIBUTE, define_score(config.data.has_paraphrases))
        search.set_user_attr(CONFIG_ATTRIBUTE, comparable_config(config))
    return studies


def comparable_config(config: SweepConfig) -> dict[str, object]:
    """Return the part of a configuration that must stay the same throughout a sweep."""
    return config.model_dump(mode="json", exclude=CHANGEABLE_BLOCKS)


def refuse_changed_config(config: SweepConfig, name: str) -> None:
    """Refuse a configuration that differs from the one with which the sweep began, but for a larger budget.

    Raises:
        ConfigError: a key of `comparable_config` differs, or the database cannot be opened.
    """
    search = load_existing_studies(config, name).get("search")
    begun = (
        comparable_config(config)
        if search is None
        else search.user_attrs.get(CONFIG_ATTRIBUTE, comparable_config(config))
    )
    now = comparable_config(config)
    larger = {change.key for change in list_changes(begun, now) if change not in list_cuts(begun, now)}
    for key, one, two in find_differences(begun, now):
        if key in larger:
            continue
        raise ConfigError(
            f"{key} = {two} in {config.storage / name / 'config.yaml'} was {one} when the sweep began: its trials would"
            " not be comparable; put it back, or begin another sweep."
        )


def locate_database(config: SweepConfig, name: str) -> str:
    """Return the URL of the sweep's database."""
    return config.ledger or f"sqlite:///{config.storage / name / DATABASE_FILE}"


def load_existing_studies(config: SweepConfig, name: str) -> dict[Phase, optuna.Study]:
    """Load those studies of a sweep that exist, without creating or closing anything.

    Raises:
        ConfigError: the database cannot be opened.
    """
    if not _should_open(config, name):
        return {}
    with silence_optuna():
        storage = _open_database(config, name)
        names = optuna.get_all_study_names(storage)
        wanted = {phase: study for phase, study in _name_studies(name).items() if study in names}
        return {phase: optuna.load_study(study_name=study, storage=storage) for phase, study in wanted.items()}


def is_name_taken(config: SweepConfig, name: str) -> bool:
    """Return True if the sweeps share a database that already has a study of this name.

    Raises:
        ConfigError: the database cannot be opened.
    """
    return config.ledger is not None and "search" in load_existing_studies(config, name)


def read_attempts(phase: Phase, study: optuna.Study) -> list[TrialRecord]:
    """Read every attempt of a study, in the order in which they began."""
    records = [decode_record(phase, trial) for trial in study.get_trials(deepcopy=False)]
    return [record for record in records if record is not None]


def decode_record(phase: Phase, trial: FrozenTrial) -> TrialRecord | None:
    """Return an Optuna trial as a record; None where the driver died before the start was written."""
    if "start" not in trial.user_attrs:
        return None
    start, state = trial.user_attrs["start"], RECORD_STATES[trial.state]
    # An attempt that was open when the driver died has no `end` attribute.
    lost = {"reason": INTERRUPTED_REASON, "ended": start["started"]} if state == "failed" else {}
    return TrialRecord(**{"phase": phase, "state": state} | start | trial.user_attrs.get("end", lost))


def select_last_attempts(records: Sequence[TrialRecord]) -> dict[int, TrialRecord]:
    """Return the last attempt of every trial, by index."""
    return dict(sorted({record.index: record for record in records}.items()))


def save_record_part(trial: optuna.Trial, record: TrialRecord, part: Literal["start", "end"]) -> None:
    """Commit a part of the record to the study."""
    trial.set_user_attr(part, {key: getattr(record, key) for key in RECORD_PARTS[part]})


@contextmanager
def silence_optuna() -> Iterator[None]:
    """Silence Optuna's messages about each study, its warnings on experimental features, and one on repeated epochs."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # A trial whose process died is run again, and reports the same epoch twice.
        warnings.filterwarnings("ignore", "The reported value is ignored", UserWarning)
        yield


def _should_open(config: SweepConfig, name: str) -> bool:
    """Return False where SQLite would create a missing database file; True also for a URL that cannot be opened."""
    if config.ledger is None:
        return (config.storage / name / DATABASE_FILE).exists()
    dialect, _, place = config.ledger.partition(":///")
    file = Path(place.partition("?")[0])
    return not dialect.startswith("sqlite") or file.exists() or not file.parent.is_dir()


def _name_studies(name: str) -> dict[Phase, str]:
    """Return the names of a sweep's studies, by phase."""
    return {"search": name, "race": f"{name}/race", "finalist": f"{name}/finalists"}


def _open_database(config: SweepConfig, name: str) -> RDBStorage:
    """Open the database of a sweep.

    Raises:
        ConfigError: it cannot be opened.
    """
    url = locate_database(config, name)
    try:
        owner = databases.find_other_owner(url, "Optuna")
        # Nothing is created in a database that another program has.
        storage = None if owner else _connect_with_retries(url)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ledger = {url!r} cannot be opened: {str(error).splitlines()[0]}") from None
    if storage is None:
        raise ConfigError(f"ledger = {url!r}: {owner}'s database is there; give the study one of its own.")
    return storage


def _connect_with_retries(url: str) -> RDBStorage:
    """Connect and create missing tables; retry where another sweep creates the same tables at the same time."""
    for _ in range(MAX_TABLE_RETRIES):
        try:
            return RDBStorage(url, engine_kwargs=databases.list_connect_options(url))
        except SQLAlchemyError as error:
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(0.2)
    return RDBStorage(url, engine_kwargs=databases.list_connect_options(url))


def _create_study(storage: RDBStorage, name: str, config: SweepConfig) -> optuna.Study:
    """Create or load a study whose values have the sampler's directions."""
    directions = SAMPLERS[config.search.sampler].directions
    return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
