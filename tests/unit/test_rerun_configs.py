"""A setting run again alone: the configuration by itself."""

from pathlib import Path

import pytest

from support import toys
from support.trials import PAPER, sweep_of, trial
from sweep.config.compose import load
from sweep.config.schema import SweepConfig
from sweep.records import Setting, TrialRecord
from sweep.results.rerun_configs import single_trial_configs

FOUND: Setting = {"alpha": 0.1 + 0.2, "beta": 2}
RECORDS = (trial(0, PAPER, 0.5), trial(1, FOUND, 0.25), trial(2, {"alpha": 2.0, "beta": 2.0}, 0.75))
ALONE = {"sampler": "random", "trials": 1, "hours": None, "warm_start": (), "stop": "none"}


def heads(config: SweepConfig, records: tuple[TrialRecord, ...]) -> dict[str, str]:
    """The comments of the files."""
    return {file: text.splitlines()[0] for file, text in single_trial_configs(sweep_of(config, records)).items()}


def test_each_file_says_what_it_runs(tmp_path: Path) -> None:
    """The best, the best of the search's own and the paper's, with the trial that it repeats."""
    config = toys.config(tmp_path)
    assert heads(config, RECORDS) == {
        "best.yaml": "# The best setting of mine: trial 1, score 0.25 (lower is better).",
        "found.yaml": (
            "# The best setting that the search came to by itself in mine: trial 1, score 0.25 (lower is better)."
        ),
        "paper.yaml": "# The paper's setting in mine: trial 0, score 0.5 (lower is better).",
    }
    first = heads(config, (trial(0, PAPER, 0.125), *RECORDS[1:]))
    assert "trial 1" in first["best.yaml"]  # the paper's setting, which the search was given, is no find
    assert "trial 1" in first["found.yaml"]
    assert heads(config, ()) == {"paper.yaml": "# The paper's setting in mine: no trial of the search."}


@pytest.mark.parametrize(("file", "setting"), [("best.yaml", FOUND), ("found.yaml", FOUND), ("paper.yaml", PAPER)])
def test_each_file_is_a_whole_configuration(tmp_path: Path, file: str, setting: Setting) -> None:
    """Read back, it differs from the sweep only in these blocks: the seed is the trial's, 0, and not the sweep's."""
    config = toys.config(
        tmp_path,
        search={"epochs": "best", "hours": 1.5, "stop": "asha", "warm_start": ("first",)},
        seed=5,
        seeds=2,
        ledger="postgresql://me@host/db",
    )
    path = tmp_path / file
    path.write_text(single_trial_configs(sweep_of(config, RECORDS))[file])
    search = config.search.model_copy(update=ALONE)
    changed = {"space": {}, "fixed": setting, "search": search, "seed": 0, "seeds": 0, "ledger": None}
    assert load(path) == config.model_copy(update=changed)
