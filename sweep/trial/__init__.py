"""One trial on a warm worker: its input is a setting, its output the result of each epoch and the outcome.

    outcomes   the types of results that a trial yields
    session    the model and the rows that a worker keeps between trials
    answers    a few rows with the answers of target and unlearned models
    state      what a trial has found while it trains
    unlearn    reset to the target, unlearn, measure, score
    runner     run a trial and yield its record as it changes; run one again and save its model
    model_folder   write a trial's model into a folder

Imported by cluster and plan; imports neither Ray nor MLflow.
"""
