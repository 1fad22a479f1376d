"""From a config file to the best setting of an unlearning objective.

The way of the data, with what is on each arrow; no package imports a later one:

    configs/wtnpo.yaml -words-> config.request -SweepConfig-> plan -Plan-> cluster.preparation, prepare.build
      -Artifacts-> search.queue -Task-> cluster.searcher -Record (running)-> trial.runner
      -Setting-> objectives.load(name)(**setting) -Objective-> training.loop -weights-> eval.suite
      -dict[str, float]-> eval.metrics.calibrated_score -Record (finished)-> search.study, tracking
      -list[Record]-> results -statistics, verdict-> report

Commands: launch, submit, sync, and report. `run` has the story of a launch, `outputs` what is left of it.
"""
