"""Warm start: give the sampler the finished trials of earlier sweeps whose scores are comparable."""

from collections.abc import Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from eval.definitions import define_score
from sweep.config import space
from sweep.config.diff import find_differences, flatten_block
from sweep.config.schema import SweepConfig
from sweep.config.stored import load_stored_config
from sweep.errors import ConfigError
from sweep.records import TrialRecord
from sweep.search import storage
from sweep.search.gp_sampler import SEED_ATTRIBUTE

COMPARED_BLOCKS = ("objective", "space", "fixed", "retain", "score", "train", "model", "target", "data")
"""Configuration blocks that must agree for the scores of one sweep to be evidence for another. Scores on other data or
of another model have another scale: the sampler would take the settings of the easier sweep for the better ones."""
SPEED_KEYS = {"train.attention", "train.checkpointing", "train.tokens"}
"""Keys of these blocks that affect the speed or memory of a trial, but not its score."""
SOURCE_ATTRIBUTE = "source"
"""The attribute of a trial taken from an earlier sweep: its origin, as `NAME/INDEX`."""
WARM_START_ATTRIBUTE = "warm_start"
"""The study attribute that is set once all of these trials are added: the names of the earlier sweeps."""


def validate_warm_start(config: SweepConfig) -> None:
    """Check that every sweep of `search.warm_start` exists, has finished trials, and is comparable.

    Raises:
        ConfigError: one is not; the message names the first such sweep and the reason.
    """
    for name in config.search.warm_start:
        _read_finished_trials(config, name)


def add_earlier_trials(config: SweepConfig, study: optuna.Study) -> None:
    """Add the trials of `search.warm_start` to the study, once: a resumed sweep no longer needs the earlier sweeps.

    Raises:
        ConfigError: as `validate_warm_start` does.
    """
    if WARM_START_ATTRIBUTE in study.user_attrs:
        return
    there = {trial.user_attrs.get(SOURCE_ATTRIBUTE) for trial in study.get_trials(deepcopy=False)}
    study.add_trials(
        [trial for trial in _build_earlier_trials(config) if trial.user_attrs[SOURCE_ATTRIBUTE] not in there]
    )
    study.set_user_attr(WARM_START_ATTRIBUTE, config.search.warm_start)


def _build_earlier_trials(config: SweepConfig) -> Iterator[FrozenTrial]:
    """Yield the finished trials of the earlier sweeps as trials of this sweep's space."""
    distributions = space.build_distributions(config)
    for name in config.search.warm_start:
        for record in _read_finished_trials(config, name):
            yield optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                params={key: record.setting[key] for key in config.space},
                distributions=distributions,
                value=record.score,
                user_attrs={SOURCE_ATTRIBUTE: f"{name}/{record.index}", SEED_ATTRIBUTE: record.seed},
            )


def _read_finished_trials(config: SweepConfig, name: str) -> list[TrialRecord]:
    """Read the finished search trials of an earlier sweep, including diverged ones, which have the worst score.

    Raises:
        ConfigError: there is no such sweep, none of its trials finished, or its scores are not comparable.
    """
    try:
        theirs = load_stored_config(config.storage, name)
        search = storage.load_existing_studies(theirs, name).get("search")
    except ConfigError as error:
        raise ConfigError(f"search.warm_start: {error}") from None
    records = storage.select_last_attempts(storage.read_attempts("search", search)).values() if search else ()
    finished = [record for record in records if record.state == "finished"]
    if search is None or not finished:
        raise ConfigError(f"search.warm_start: {name} has no finished trial of its search yet.")
    _check_comparable(config, theirs, name)
    if search.user_attrs.get(storage.SCORE_ATTRIBUTE) != define_score(config.data.has_paraphrases):
        raise ConfigError(f"search.warm_start: {name} comes from a program version that defined the score differently.")
    return finished


def _check_comparable(config: SweepConfig, theirs: SweepConfig, name: str) -> None:
    """Raise ConfigError for the first key that makes the scores of the two sweeps incomparable."""
    for key, ours, other in find_differences(_collect_compared_values(config), _collect_compared_values(theirs)):
        raise ConfigError(
            f"search.warm_start: {key} is {other} in {name} and {ours} here: its scores are not comparable."
        )


def _collect_compared_values(config: SweepConfig) -> dict[str, object]:
    """Return all values on which a score depends besides the setting and the seed, by dotted key."""
    blocks = config.model_dump(mode="json", include={*COMPARED_BLOCKS})
    keys = dict(flatten_block(blocks)) | {"search.epochs": config.search.epochs}
    return {key: value for key, value in keys.items() if key not in SPEED_KEYS}
