"""Configurations: YAML files and overrides in, a checked `SweepConfig` out, or one sentence that says what is wrong.

    schema        the typed, frozen blocks of a configuration
    compose       from a file and overrides to a `SweepConfig`, by Hydra and pydantic
    yaml_files    YAML that is safe to read
    messages      one sentence for what YAML, Hydra or pydantic refused
    space         the search space against the objective's fields, and as Optuna's distributions
    train_rules   which values of `train` go together
    matrix        several sweeps from one file, or from files named together
    request       the words of a command line as the sweeps that they ask for
    stored        the sweeps of a storage
    diff          where two configurations differ

Imported by every later package; imports neither Ray nor torch.
"""
