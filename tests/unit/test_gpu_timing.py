"""tests/timings/gpu.py, which needs a card, still fits the code that it measures."""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "timings")
    for name in ("common", "gpu", "gpu_training"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return import_module("gpu")


def test_every_case_composes_or_says_why_not(gpu: ModuleType) -> None:
    """Each is a valid configuration of a model with an architecture; what is missing has a reason."""
    composed = [case for case in gpu.CASES if not gpu.find_obstacle(replace(case, is_small=True))]
    assert {case.model for case in composed} == {*gpu.MODELS}
    for case in composed:
        config = import_module("gpu_training").compose(case)
        assert config.model.architecture is not None and config.train.batch == 16


def test_a_small_case_is_measured(gpu: ModuleType) -> None:
    """A step of two rows: its tokens are counted, and the allocator takes what the forecast says (10 %)."""
    case = next(case for case in gpu.CASES if case.title == "llama-3.2-1b kahan")
    found = gpu.measure_step(replace(case, words=(*case.words, "train.batch=2"), is_small=True), 0.0)
    assert found["peak / forecast"] == pytest.approx(1.0, rel=gpu.MEMORY_BAR)
    assert 4 * 49 <= found["tokens/s"] * found["s a step"] <= 4 * 149, "two rows of 50 to 150 tokens in each term"
    assert {*gpu.COLUMNS} == {*found}
