"""Configurations: read YAML files and overrides, and return a validated `SweepConfig` or raise one clear error.

    schema        the typed, frozen blocks of a configuration: `SweepConfig`
    model_schema  its blocks model, target and retain_model
    search_schema its blocks space and search
    template      the block `model.template`, the text of a row
    compose       build a `SweepConfig` from a file and overrides, with Hydra and pydantic
    yaml_files    read YAML safely
    model_layers  read the number of a model's layers from its configuration where it is null
    messages      error messages for input that YAML, Hydra or pydantic reject
    search_also   add the hyper-parameters of `search.also` to the space
    space         check the search space against the objective's fields; convert it to Optuna's distributions
    train_rules   check that the values of `train` fit together and fit the cluster
    matrix        expand one file, or several files, into several sweeps
    request       parse a command line into the sweeps it requests
    stored        find and load the sweeps of a storage
    diff          differences between two configurations, and those that a resumed sweep may have

Every later package imports this one; it imports no Ray, and torch only to read a model's configuration.
"""
