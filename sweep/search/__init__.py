"""Choose the next trial: `SweepConfig` and the study so far in, a `TrialRequest` out.

    study         the persistent record of all trials, an Optuna study
    storage       the databases that hold the studies
    queue         the trials still to be run, in order
    samplers      what differs between the samplers: algorithm, directions of the study, list of settings
    gp_sampler    the sampler gp: the next setting by a Gaussian process of the scores
    score_model   that process, which knows the seeds: estimated mean scores, and the trials ranked by them
    race          the best settings on fresh seeds: who leaves, who wins
    grid          every combination of a space
    asha          early stopping of trials that fall behind
    warm_start    trials of earlier sweeps as evidence for the sampler
    paper         the paper's tuned settings

Imported by prepare, trial, cluster, results and report; imports Optuna, neither Ray nor torch.
"""
