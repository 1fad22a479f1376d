"""Build the Optuna sampler that proposes a trial's setting; each trial gets a new one with its own seed."""

from numpy.random import SeedSequence
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler

from sweep.config.schema import SweepConfig
from sweep.records import Setting

N_STARTUP_TRIALS = 8
"""Number of random settings before TPE models the scores: a third of a sweep of 24 trials."""
POPULATION_SIZE = 6
"""Number of settings in one generation of NSGA-II: four generations in a sweep of 24 trials."""


def build_sampler(config: SweepConfig, index: int, setting: Setting | None) -> BaseSampler:
    """Return the sampler for trial `index`, seeded from (seed, index).

    It is the same whoever asked before, so that a resumed sweep proposes the same settings.

    Args:
        config: the sweep.
        index: the trial's number within the search.
        setting: the setting that the trial already has; None where the sampler chooses one.
    """
    given = {} if setting is None else {name: setting[name] for name in config.space}
    return PartialFixedSampler(given, _build_base_sampler(config, index))


def _build_base_sampler(config: SweepConfig, index: int) -> BaseSampler:
    # A sweep that is warm-started by one with the same seed must not propose that sweep's first settings again.
    entropy = (config.seed, index, len(config.search.warm_start))
    seed = int(SeedSequence(entropy).generate_state(1)[0])
    match config.search.sampler:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, n_startup_trials=N_STARTUP_TRIALS)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=POPULATION_SIZE)
        case "random" | "grid" | "paper":  # With grid and paper every trial already has its setting.
            return RandomSampler(seed=seed)
