"""The configuration of a setting by itself, run: the trial is the one that the sweep had."""

from pathlib import Path

from support import toys
from support.targets import Prepared
from support.trials import PAPER, sweep_of, trial
from sweep.config.compose import load
from sweep.prepare.artifacts import locate_artifacts
from sweep.records import Setting
from sweep.results.rerun_configs import single_trial_configs
from sweep.trial.runner import unlearn

FOUND: Setting = {"alpha": 0.1 + 0.2, "beta": 2}
RECORDS = (trial(0, PAPER, 0.5), trial(1, FOUND, 0.25, seed=5), trial(2, {"alpha": 2.0, "beta": 2.0}, 0.75))


def test_the_trial_is_the_same_to_the_last_bit(prepared: Prepared, tmp_path: Path) -> None:
    """A toy trial on another seed than the sweep's, then the file's only one: equal curves, metrics, and artifacts."""
    config, artifacts = prepared(seed=3)
    (tmp_path / "found.yaml").write_text(single_trial_configs(sweep_of(config, RECORDS))["found.yaml"])
    again = load(tmp_path / "found.yaml")
    assert locate_artifacts(again, toys.dataset()) == artifacts
    assert artifacts.missing_names == []
    first = [*unlearn(config, artifacts, RECORDS[1])]
    assert [*unlearn(again, artifacts, trial(0, again.fixed, 0.0, seed=again.seed))] == first
