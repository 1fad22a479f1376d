"""The choice of the next trial: `SweepConfig` and the study so far in, a `Task` out.

    study         the durable record of all trials, an Optuna study
    storage       the databases in which studies lie
    queue         which trials are still to be run, in order
    samplers      who proposes a setting: TPE, CMA-ES, NSGA-II, random
    grid          every combination of a space
    asha          which trials are stopped early
    warm_start    what a sampler learns of earlier sweeps
    paper         the paper's tuned settings

Imported by prepare, trial, cluster, results and report; imports Optuna, neither Ray nor torch.
"""
