"""Warm start: give the sampler the finished trials of earlier sweeps whose scores are comparable."""

from collections.abc import Iterator
from operator import attrgetter

import optuna
from optuna.trial import FrozenTrial, TrialState

from eval.definitions import define_score
from sweep.config import space
from sweep.config.diff import Difference, find_differences
from sweep.config.schema import SweepConfig
from sweep.config.search_schema import WARM_START_SAMPLERS
from sweep.config.stored import load_stored_config
from sweep.errors import ConfigError
from sweep.records import TrialRecord
from sweep.search import storage
from sweep.search.gp_sampler import SEED_ATTRIBUTE

COMPARED_BLOCKS = ("objective", "fixed", "retain", "score", "train", "model", "target", "data")
"""Configuration blocks that must agree for the scores of one sweep to be evidence for another, but for the keys that
either searches. Scores on other data or of another model have another scale: the sampler would take the settings of the
easier sweep for the better ones."""
SPEED_KEYS = {"train.attention", "train.checkpointing", "train.tokens"}
"""Keys of these blocks that affect the speed or memory of a trial, but not its score."""
SOURCE_ATTRIBUTE = "source"
"""The attribute of a trial taken from an earlier sweep: its origin, as `NAME/INDEX`."""
WARM_START_ATTRIBUTE = "warm_start"
"""The study attribute that is set once all of these trials are added: the names of the earlier sweeps."""


def validate_warm_start(config: SweepConfig) -> list[str]:
    """Check that every sweep of `search.warm_start` exists, is comparable, and has finished trials in the space.

    Returns:
        A line for each that has trials outside, which are left out.

    Raises:
        ConfigError: one is not; the message names the first such sweep and the reason.
    """
    lines = []
    for name in config.search.warm_start:
        theirs, finished = _read_finished_trials(config, name)
        n_inside = sum(_build_trial(config, theirs, name, record) is not None for record in finished)
        if not n_inside:
            raise ConfigError(f"search.warm_start: none of the {len(finished)} trials of {name} lies in this space.")
        if n_outside := len(finished) - n_inside:
            lines.append(
                f"search.warm_start: {n_inside} of {len(finished)} trials of {name} lie in this space;"
                f" {n_outside} outside are left out"
            )
    return lines


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


def is_comparable(config: SweepConfig, theirs: SweepConfig) -> bool:
    """Return True if the sampler can learn from the trials of another sweep that lie in this one's space."""
    return not _find_differences(config, theirs) and config.search.sampler in WARM_START_SAMPLERS


def _build_earlier_trials(config: SweepConfig) -> Iterator[FrozenTrial]:
    """Yield the finished trials of the earlier sweeps that lie in this sweep's space."""
    for name in config.search.warm_start:
        theirs, finished = _read_finished_trials(config, name)
        trials = (_build_trial(config, theirs, name, record) for record in finished)
        yield from (trial for trial in trials if trial is not None)


def _build_trial(config: SweepConfig, theirs: SweepConfig, name: str, record: TrialRecord) -> FrozenTrial | None:
    """Build a trial of this sweep from one of an earlier sweep; None where its setting lies outside this space.

    What it neither searched nor fixed has the value of the earlier sweep's configuration.
    """
    setting = {key: attrgetter(key)(theirs) for key in space.TRAINING_KEYS} | record.setting
    own = {key: attrgetter(key)(config) for key in space.TRAINING_KEYS if key not in config.space} | config.fixed
    if any(setting[key] != value for key, value in own.items()):
        return None
    try:
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            params={key: setting[key] for key in config.space},
            distributions=space.build_distributions(config),
            value=record.score,
            user_attrs={SOURCE_ATTRIBUTE: f"{name}/{record.index}", SEED_ATTRIBUTE: record.seed},
        )
    except ValueError:  # outside a range, between two steps, or none of the choices
        return None


def _read_finished_trials(config: SweepConfig, name: str) -> tuple[SweepConfig, list[TrialRecord]]:
    """Read an earlier sweep and its finished search trials, including diverged ones, which have the worst score.

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
    return theirs, finished


def _check_comparable(config: SweepConfig, theirs: SweepConfig, name: str) -> None:
    """Raise ConfigError for the first key that makes the scores of the two sweeps incomparable."""
    for key, ours, other in _find_differences(config, theirs):
        raise ConfigError(
            f"search.warm_start: {key} is {other} in {name} and {ours} here: its scores are not comparable."
        )


def _find_differences(config: SweepConfig, theirs: SweepConfig) -> list[Difference]:
    """Find the values on which a score depends besides the setting and the seed, and which differ."""
    searched = config.space.keys() | theirs.space.keys()
    ignored = SPEED_KEYS | searched | {f"fixed.{key}" for key in searched}
    found = find_differences(_collect_compared_values(config), _collect_compared_values(theirs))
    return [difference for difference in found if difference.key not in ignored]


def _collect_compared_values(config: SweepConfig) -> dict[str, object]:
    """Return the blocks on which a score depends."""
    blocks = config.model_dump(mode="json", include={*COMPARED_BLOCKS})
    return blocks | {"search": {"epochs": config.search.epochs}}
