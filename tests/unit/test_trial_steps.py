"""Sweeps that are refused for what their rows and their configuration make of a trial."""

from pathlib import Path
from typing import Any

import pytest

from eval.rows.types import Dataset, Row
from eval.shipped_configs import CONFIGS
from support.toys import config as toy_config
from sweep.errors import ConfigError
from sweep.plan.checks import check_steps
from sweep.plan.launch_plan import plan_new
from sweep.training.loop import build_trial_schedule


@pytest.mark.parametrize("warmup_from", [0, 1])
@pytest.mark.parametrize(
    ("epochs", "rows", "batch"), [(1, 1, 1), (1, 2, 1), (1, 5, 3), (2, 2, 16), (2, 3, 3), (3, 1, 2)]
)
def test_trials_that_would_not_move_are_refused(
    tmp_path: Path, epochs: int, rows: int, batch: int, warmup_from: int
) -> None:
    """Exactly where every step of a trial's schedule has the learning rate 0."""
    config = toy_config(tmp_path, train={"epochs": epochs, "batch": batch, "warmup_from": warmup_from})
    dataset = Dataset(forget=(Row(question="a", answer="b"),) * rows, retain=(), holdout=())
    schedule = build_trial_schedule(config, rows)
    if any(schedule.scale_lr(step) for step in range(schedule.n_steps)):
        check_steps(config, dataset)
        return
    with pytest.raises(
        ConfigError, match=f"^train.epochs = {epochs} with {rows} forget rows and train.batch = {batch} "
    ):
        check_steps(config, dataset)


@pytest.mark.parametrize(
    ("blocks", "epochs"),
    [
        ({"space": {"train.epochs": {"low": 1, "high": 4}}}, 1),
        ({"space": {"train.epochs": {"choices": [3, 2]}}}, 2),
        ({"fixed": {"train.epochs": 1}}, 1),
    ],
)
def test_the_fewest_epochs_of_a_search_count(tmp_path: Path, blocks: dict[str, Any], epochs: int) -> None:
    """Of 4 rows in batches of 16, 4 epochs are one step and 8 are two, whatever train.epochs says."""
    config = toy_config(tmp_path, train={"epochs": 8, "batch": 16, "warmup_from": 0}, **blocks)
    dataset = Dataset(forget=(Row(question="a", answer="b"),) * 4, retain=(), holdout=())
    with pytest.raises(
        ConfigError, match=rf"^train.epochs = {epochs} with .* allowed are train.epochs of at least 8, "
    ):
        check_steps(config, dataset)


def test_a_sweep_of_one_step_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the paper's recipe the only step would change nothing; with the default one it moves, and is planned."""
    monkeypatch.chdir(tmp_path)
    words = [str(CONFIGS / "wga.yaml"), "data.forget=2", "data.retain=2", "data.holdout=1", "train.epochs=1"]
    with pytest.raises(
        ConfigError, match=r"^train.epochs = 1 with 16 forget rows and train.batch = 16 gives a trial one"
    ):
        plan_new([*words, "recipe=paper"], "one")
    assert plan_new(words, "one").plans[0].config.train.warmup_from == 1
    assert list(tmp_path.iterdir()) == []
