"""Hyper-parameter sweeps for LLM unlearning: from a config file to the best setting of an objective.

The path of the data, with the type that each arrow carries; no package imports a later one:

    configs/wtnpo.yaml -words-> config.request -SweepConfig-> plan -SweepPlan-> cluster.preparation, prepare.build
      -Artifacts-> search.queue -TrialRequest-> cluster.searcher -TrialRecord (running)-> trial.runner
      -Setting-> objectives.load(name)(**setting) -Objective-> training.loop -weights-> eval.suite
      -dict[str, float]-> eval.metrics.calibrated_score -TrialRecord (finished)-> search.study, tracking
      -SweepResult-> results -statistics, verdict-> report

Commands: launch, submit, sync and report; `__main__` has all under one name. `run` holds the steps of a launch;
`outputs` writes its files and reports.
"""
