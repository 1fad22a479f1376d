"""The samplers, and how the Optuna sampler of a trial is built; each trial gets a new one with its own seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.random import SeedSequence
from optuna.samplers import (
    BaseSampler,
    NSGAIISampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import StudyDirection

from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Range
from sweep.records import Setting
from sweep.search.gp_sampler import GPSampler
from sweep.search.grid import build_grid

N_STARTUP_TRIALS = 8
"""Number of random settings before gp or tpe models the scores: a third of a sweep of 24 trials."""
N_GP_TRIALS = 250
"""Number of trials for which `auto` asks the Gaussian process, whose time grows with the trials that are finished."""
POPULATION_SIZE = 6
"""Number of settings in one generation of NSGA-II: four generations in a sweep of 24 trials."""


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    """Differences between samplers."""

    build: Callable[[int], BaseSampler]
    """Builds Optuna's sampler from a seed."""
    directions: tuple[StudyDirection, ...] = (StudyDirection.MINIMIZE,)
    """Directions of the study's values: of the score, or of forget ES and retain ES."""
    list_settings: Callable[[SweepConfig], Sequence[Setting]] | None = None
    """Lists the settings of all search trials, or raises ConfigError; None where trial 0 has the paper's setting if the
    space holds it, and the sampler chooses the others."""


def _build_gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, n_startup_trials=N_STARTUP_TRIALS)


def _build_tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=N_STARTUP_TRIALS)


SAMPLERS = {
    "auto": SamplerSpec(build=_build_tpe),  # and gp for the trials that `choose_sampler` leaves to it
    "gp": SamplerSpec(build=_build_gp),
    "tpe": SamplerSpec(build=_build_tpe),
    "random": SamplerSpec(build=RandomSampler),
    "grid": SamplerSpec(build=RandomSampler, list_settings=build_grid),
    "nsga2": SamplerSpec(
        build=lambda seed: NSGAIISampler(seed=seed, population_size=POPULATION_SIZE),
        directions=(StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE),
    ),
    "paper": SamplerSpec(build=RandomSampler),  # its only trial has the paper's setting
}
"""The samplers by their name in `search.sampler`."""


def choose_sampler(config: SweepConfig, index: int) -> str:
    """Return the sampler that `search.sampler` comes to for trial `index`; the number of trials has no part in it.

    `auto` is gp for the first trials of a space of numbers, and tpe for later ones, with choices, and under ASHA,
    because gp does not see the trials that were stopped.
    """
    if config.search.sampler != "auto":
        return config.search.sampler
    is_numeric = all(isinstance(entry, Range) for entry in config.space.values())
    return "gp" if is_numeric and index < N_GP_TRIALS and config.search.stop == "none" else "tpe"


def build_sampler(config: SweepConfig, index: int, setting: Setting | None) -> BaseSampler:
    """Return the sampler for trial `index`, seeded from (seed, index).

    It is the same whoever asked before, so that a resumed sweep proposes the same settings.

    Args:
        config: the sweep.
        index: the trial's number within the search.
        setting: the setting that the trial already has; None where the sampler chooses one.
    """
    # A sweep that is warm-started by one with the same seed must not propose that sweep's first settings again.
    entropy = (config.seed, index, len(config.search.warm_start))
    seed = int(SeedSequence(entropy).generate_state(1)[0])
    given = {} if setting is None else {name: setting[name] for name in config.space}
    return PartialFixedSampler(given, SAMPLERS[choose_sampler(config, index)].build(seed))
