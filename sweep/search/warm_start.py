"""What a sampler knows before the first trial of its sweep: trials of earlier sweeps that asked the same question."""

from collections.abc import Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from eval.definitions import DEFINITIONS
from sweep.config import space
from sweep.config.diff import differences, flat
from sweep.config.schema import SweepConfig
from sweep.config.stored import config_of
from sweep.errors import ConfigError
from sweep.records import Record
from sweep.search import storage

QUESTION = ("objective", "space", "fixed", "retain", "score", "train", "model", "target", "data")
"""Blocks that two sweeps have in common where the scores of one are evidence for the other. Scores of other data or of
another model are on another scale: the sampler would take the easier sweep's settings for the better ones."""
SPEED = {"train.attention", "train.checkpointing", "train.tokens"}
"""Keys in them that change how fast a trial is, or how much memory it takes, but not its score."""
SOURCE = "source"
"""The attribute of a trial that is no record of the sweep: where it was taken from, as `NAME/INDEX`."""
LEARNT = "warm_start"
"""The attribute of a study that has all of them: the sweeps that they are from."""


def check(config: SweepConfig) -> None:
    """Refuse a sweep that is to learn from others that are not there, or that asked another question.

    Raises:
        ConfigError: names the first such sweep and the reason.
    """
    for name in config.search.warm_start:
        _finished(config, name)


def learn(config: SweepConfig, study: optuna.Study) -> None:
    """Give the study the trials of `search.warm_start`, once: a resumed sweep needs the earlier ones no more.

    Raises:
        ConfigError: as `check` does.
    """
    if LEARNT in study.user_attrs:
        return
    there = {trial.user_attrs.get(SOURCE) for trial in study.get_trials(deepcopy=False)}
    study.add_trials([trial for trial in _trials(config) if trial.user_attrs[SOURCE] not in there])
    study.set_user_attr(LEARNT, config.search.warm_start)


def _trials(config: SweepConfig) -> Iterator[FrozenTrial]:
    distributions = space.distributions(config)
    for name in config.search.warm_start:
        for record in _finished(config, name):
            yield optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                params={key: record.setting[key] for key in config.space},
                distributions=distributions,
                value=record.score,
                user_attrs={SOURCE: f"{name}/{record.index}"},
            )


def _finished(config: SweepConfig, name: str) -> list[Record]:
    """The finished search trials of an earlier sweep, diverged ones with their worst score among them."""
    try:
        theirs = config_of(config.storage, name)
    except ConfigError as error:
        raise ConfigError(f"search.warm_start: {error}") from None
    search = storage.there(theirs, name).get("search")
    records = storage.last(storage.attempts("search", search)).values() if search else ()
    finished = [record for record in records if record.state == "finished"]
    if search is None or not finished:
        raise ConfigError(f"search.warm_start: {name} has no finished trial of its search yet.")
    _check_question(config, theirs, name)
    if search.user_attrs.get(storage.SCORE) != DEFINITIONS["score"]:
        raise ConfigError(f"search.warm_start: {name} comes from a version of this program with another score.")
    return finished


def _check_question(config: SweepConfig, theirs: SweepConfig, name: str) -> None:
    for key, ours, other in differences(_question(config), _question(theirs)):
        raise ConfigError(
            f"search.warm_start: {key} is {other} in {name} and {ours} here: its scores tell this sweep nothing."
        )


def _question(config: SweepConfig) -> dict[str, object]:
    """Everything that a score depends on beside the setting and the seed, by dotted key."""
    blocks = config.model_dump(mode="json", include={*QUESTION})
    keys = dict(flat(blocks)) | {"search.epochs": config.search.epochs}
    return {key: value for key, value in keys.items() if key not in SPEED}
