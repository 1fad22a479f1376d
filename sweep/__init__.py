"""Hyper-parameter sweeps for LLM unlearning: from a config file to the best setting of an objective.

The path of the data, with the type that each arrow carries; no package imports a later one:

    configs/wtnpo.yaml -words-> config.request -SweepConfig-> plan -SweepPlan-> cluster.preparation, prepare.build
      -Artifacts-> search.queue -TrialRequest-> cluster.searcher -TrialRecord (running)-> trial.runner
      -Setting-> objectives.load(name)(**setting) -Objective-> training.loop -weights-> eval.suite
      -dict[str, float]-> eval.metrics.calibrated_score -TrialRecord (finished)-> search.study, tracking
      -SweepResult-> results -statistics, verdict-> report

Commands: launch, submit, sync, report and export; `__main__` has all under one name. In Python: `from sweep import
run_sweep`. `run` holds the steps of a launch; `outputs` writes its files and reports.
"""

from typing import TYPE_CHECKING

__all__ = ["FinishedSweep", "run_sweep"]

if TYPE_CHECKING:
    from sweep.api import FinishedSweep, run_sweep
else:  # a type checker that saw this function would take every name for one of the package

    def __getattr__(name: str) -> object:
        """Import what Python programs use when they use it, so that importing sweep costs nothing."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sweep import api

        return getattr(api, name)
