"""The check that a target knows its rows: what is refused, what is told, and when fine-tuning ends early."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import toys
from support.plans import toy_plan
from support.reports import reported
from sweep.config.schema import SweepConfig
from sweep.errors import ConfigError
from sweep.prepare import build
from sweep.prepare.artifacts import BASE_METRICS_FILE, METRICS_FILE, locate_artifacts
from sweep.report.sections import build_sweep_section
from sweep.results.target_check import describe_target, refuse_ignorant_target, warn_of_weak_target
from sweep.run import check_targets
from sweep.training.checkpoint import Checkpoint


def es(forget: float, retain: float) -> dict[str, float]:
    """Metrics with these ES: exact twice as high as paraphrased."""
    sides = {"forget": forget, "retain": retain}
    exact = {f"{side}/es": value * 4 / 3 for side, value in sides.items()}
    return exact | {f"{side}/es_paraphrase": value * 2 / 3 for side, value in sides.items()}


def sweep(tmp_path: Path = Path("/nowhere"), **target: Any) -> SweepConfig:
    """A toy sweep with other keys of its target."""
    made = toys.config(tmp_path)
    return made.model_copy(update={"target": made.target.model_copy(update={"min_es": 0.1} | target)})


@pytest.mark.parametrize(
    ("target", "base", "is_refused"),
    [
        (es(0.5, 0.5), es(0, 0), False),
        (es(0.09, 0.5), es(0, 0), True),
        (es(0.5, 0.09), {}, True),
        (es(0.12, 0.5), es(0.03, 0.03), True),
        (es(0.12, 0.5), {}, False),
        (es(0.5, 0.5), es(0.2, 0.45), True),
        (es(0.5, 0.5), es(0.2, 0.39), False),
        ({}, {}, False),
        ({"forget/es": 0.0}, {}, False),
    ],
)
def test_what_is_refused(target: dict[str, float], base: dict[str, float], is_refused: bool) -> None:
    """ES below .1 on either side, or less than .1 above the base model's; nothing before it is known."""
    if is_refused:
        with pytest.raises(ConfigError, match="there is nothing to forget"):
            refuse_ignorant_target(sweep(), target, base)
    else:
        refuse_ignorant_target(sweep(), target, base)
    refuse_ignorant_target(sweep(min_es=0.0), target, base)


def test_what_a_refusal_says() -> None:
    """The key with its value, both numbers, and how to go on; for a target that was given, and for one made here."""
    with pytest.raises(ConfigError) as given:
        refuse_ignorant_target(sweep(path="base"), es(0, 0.015), {})
    assert str(given.value) == (
        "target.path = 'base': the target has forget ES 0.000, retain ES 0.015, but must have at least"
        " target.min_es = 0.1 on both, else it does not know its rows and there is nothing to forget: give a"
        " target.path that was fine-tuned on these rows with this model.template, or null to have one made, or"
        " target.min_es=0 to go on with it."
    )
    with pytest.raises(ConfigError) as made:
        refuse_ignorant_target(sweep(epochs=2), es(0.12, 0.3), es(0.03, 0.03))
    assert str(made.value).startswith("target.epochs = 2: the target has forget ES 0.120, retain ES 0.300, but must")
    assert "and as much above forget ES 0.030, retain ES 0.030 of the model before fine-tuning" in str(made.value)
    assert "more target.epochs, another target.lr, or a tuned target.path, or target.min_es=0" in str(made.value)


def test_what_is_told() -> None:
    """The ES in one line, and a warning below .3."""
    assert describe_target(es(0.5, 0.6), {}) == "target forget ES 0.500, retain ES 0.600"
    assert describe_target(es(0.5, 0.6), es(0, 0.1)).endswith(" (before fine-tuning forget ES 0.000, retain ES 0.100)")
    assert describe_target({}, {}) == warn_of_weak_target({}) == warn_of_weak_target(es(0.3, 0.31)) == ""
    assert "knows little of its rows (forget ES 0.290, retain ES 0.600;" in warn_of_weak_target(es(0.29, 0.6))


def test_a_report_warns() -> None:
    """Above the verdict."""
    assert build_sweep_section(reported()).warning == ""
    weak = build_sweep_section(replace(reported(), target_metrics=es(0.2, 0.6)))
    assert "forget ES 0.200" in weak.warning


def test_a_launch_tells_each_target_once(tmp_path: Path) -> None:
    """Two sweeps share one; before it is made there is nothing to tell."""
    plans = [toy_plan(sweep(tmp_path), name) for name in ("one", "two")]
    assert check_targets(plans) == []
    for folder, file, metrics in (("reference", METRICS_FILE, es(0.2, 0.3)), ("target", BASE_METRICS_FILE, es(0, 0))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(json.dumps(metrics))
    told, warning = check_targets(plans)
    assert told == "target forget ES 0.200, retain ES 0.300 (before fine-tuning forget ES 0.000, retain ES 0.000)"
    assert warning.startswith("warning: the target knows little")
    (tmp_path / "target" / BASE_METRICS_FILE).write_text(json.dumps(es(0, 0.25)))
    with pytest.raises(ConfigError, match=r"retain ES 0\.300, but must have"):
        check_targets(plans)


def test_the_threshold_is_no_input_of_an_artifact() -> None:
    """Another `target.min_es` finds the same target, another `target.until` makes another."""
    rows, first = toys.dataset(), locate_artifacts(sweep(), toys.dataset())
    assert locate_artifacts(sweep(min_es=0.0), rows) == first
    assert locate_artifacts(sweep(until=0.9), rows).target != first.target


@pytest.mark.parametrize(("learned_after", "n_steps"), [(1, 2), (2, 4), (9, 6)])
def test_fine_tuning_ends_with_the_epoch_in_which_it_is_learned(learned_after: int, n_steps: int) -> None:
    """It is asked after each epoch but the last; progress ends at the total, once."""
    asked = list[int]()

    def is_learned() -> bool:
        asked.append(1)
        return len(asked) == learned_after

    rows = toys.encoded(*[(2, 2)] * 8)
    model = toys.llama()
    off = Checkpoint(None, {}, None, model)
    steps = [*build._fine_tune("target", sweep(epochs=3), model, rows, 0, is_learned, off)]
    assert len(asked) == min(learned_after, 2)
    assert [step.done for step in steps[:n_steps]] == list(range(1, n_steps + 1))
    assert [step.done for step in steps].count(6) == 1
    assert steps[-1].done == steps[-1].total == 6


def test_without_a_wanted_es_nothing_is_measured() -> None:
    """The model is not even looked at."""
    model: Any = None
    assert not build._has_reached_es(sweep(), toys.dataset(), model, model)
