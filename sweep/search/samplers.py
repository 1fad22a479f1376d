"""The sampler of a trial: which of Optuna's proposes its setting, always made afresh from the trial's own seed."""

from numpy.random import SeedSequence
from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler

from sweep.config.schema import SweepConfig
from sweep.records import Setting

STARTUP = 8
"""Random settings before TPE models the scores: a third of a sweep of 24."""
POPULATION = 6
"""Settings of one generation of NSGA-II: four generations in a sweep of 24."""


def sampler(config: SweepConfig, index: int, setting: Setting | None) -> BaseSampler:
    """What the trial of this index asks; it depends on the ledger alone, not on who asked before.

    Args:
        config: the sweep.
        index: the trial's number within the search.
        setting: the setting that the trial has already; None where the sampler chooses one.
    """
    given = {} if setting is None else {name: setting[name] for name in config.space}
    return PartialFixedSampler(given, _proposing(config, index))


def _proposing(config: SweepConfig, index: int) -> BaseSampler:
    # A sweep that learns from an earlier one of the same seed shall not ask its first settings again.
    entropy = (config.seed, index, len(config.search.warm_start))
    seed = int(SeedSequence(entropy).generate_state(1)[0])
    match config.search.sampler:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=POPULATION)
        case "random" | "grid" | "paper":  # Of the last two, every trial has its setting already.
            return RandomSampler(seed=seed)
