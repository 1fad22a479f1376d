"""Hyper-parameters that `search.also` adds to any configuration, each in a range around its own value."""

from pathlib import Path

import pytest

from eval.shipped_configs import CONFIGS
from sweep.config.compose import dump, load
from sweep.config.schema import SweepConfig
from sweep.config.search_schema import Range
from sweep.config.space import validate_space
from sweep.errors import ConfigError

ALL = "search.also=[train.lr,retain.weight,train.epochs]"


def loaded(*words: str, name: str = "wtnpo") -> SweepConfig:
    """A shipped configuration, whose space fits its objective."""
    config = load(CONFIGS / f"{name}.yaml", words)
    validate_space(config)
    return config


def test_all_that_matters_is_added() -> None:
    """The tiny model has rate .003, λ 1 and 5 epochs: a fifth to five times, a tenth to ten times, half to double."""
    config, plain = loaded(ALL), loaded()
    assert config.space == plain.space | {
        "train.lr": Range(low=0.0006, high=0.015, log=True),
        "retain.weight": Range(low=0.1, high=10.0, log=True),
        "train.epochs": Range(low=2, high=10),
    }
    assert config.search == plain.search
    assert plain.space.keys() == {"alpha", "beta"}


def test_the_ranges_follow_the_model_and_the_overrides() -> None:
    """Phi-1.5 has rate 2e-5; one epoch has no half."""
    config = loaded("model=phi-1.5", "train.epochs=1", "search.also=[train.epochs,train.lr]")
    assert config.space["train.lr"] == Range(low=4e-6, high=1e-4, log=True)
    assert config.space["train.epochs"] == Range(low=1, high=2)


def test_a_range_of_the_space_wins() -> None:
    """Of the file, whose weight has no range of its own, and of an override."""
    assert loaded("search.also=[train.lr]", name="ga").space == loaded(name="ga").space
    given = loaded("space.train.lr={low: 0.001, high: 0.002}", ALL).space["train.lr"]
    assert given == Range(low=0.001, high=0.002)


def test_what_is_stored_holds_the_space(tmp_path: Path) -> None:
    """The stored configuration is loaded as the same one, and runs on if the arguments are repeated."""
    config = loaded(ALL)
    (tmp_path / "config.yaml").write_text(dump(config), encoding="utf-8")
    assert load(tmp_path / "config.yaml") == config
    assert load(tmp_path / "config.yaml", [ALL]) == config


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        (
            "wtnpo",
            ["search.also=[train.lrr]"],
            "search.also = 'train.lrr' must be 'train.lr', 'retain.weight' or 'train.epochs' (nearest: train.lr).",
        ),
        ("wtnpo", ["search.also=train.lr"], "search.also = 'train.lr' must be a list."),
        (
            "wtnpo",
            ["fixed.train.lr=0.001", ALL],
            "search.also: train.lr is in fixed: take it away there, as ~fixed.train.lr does, or here.",
        ),
        (
            "ga",
            ["search.also=[retain.weight]"],
            "search.also: retain.weight = 0.0 must be from 1e-12 to 1e+12 for a range around it.",
        ),
        ("ga", [ALL, "retain.weight=1"], "space.retain.weight has no effect with retain.term = 'none'"),
    ],
)
def test_what_cannot_be_added_is_refused(name: str, words: list[str], said: str) -> None:
    """With one sentence."""
    with pytest.raises(ConfigError) as caught:
        loaded(*words, name=name)
    assert str(caught.value).startswith(said)
