"""One trial on a warm worker: a setting in, the result of each epoch and the outcome out.

    outcomes   what a trial yields
    session    what a worker keeps between trials
    unlearn    reset to the target, unlearn, measure, score
    runner     the trial as a growing record

Imported by cluster and plan; knows neither Ray nor MLflow.
"""
