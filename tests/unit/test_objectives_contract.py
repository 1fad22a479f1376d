"""The contract, for every file of objectives/; the hyper-parameters are the corners of configs/'s spaces."""

import math
import operator
import re
from dataclasses import FrozenInstanceError, fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

import objectives
from objectives.__main__ import main, read_field_docs
from objectives._base import NEEDS, Answers, Objective, SettingError
from support.answers import as_double, extreme, only, random, rows_of
from support.composing import SWEEPS, load_shipped
from sweep.config.schema import SweepConfig
from sweep.config.space import build_distributions

REFUSED = {"≥": (operator.sub, 1), ">": (operator.sub, 0), "≤": (operator.add, 1), "<": (operator.add, 0)}
"""By how a bound is written: how to make a value just outside it from its number."""
LENGTHS = (3, 1, 0, 4)
"""Answer tokens of the rows of a batch; a row without any is the extreme of a cut answer."""


def corners(name: str) -> list[dict[str, Any]]:
    """The settings at the corners of the spaces of configs/ for an objective, without `retain.weight` and the like."""
    return [corner for config in _shipped() if config.objective == name for corner in _corners(config)]


@cache
def _shipped() -> list[SweepConfig]:
    return [load_shipped(name) for name in SWEEPS]


def _corners(config: SweepConfig) -> list[dict[str, Any]]:
    searched = {key: _ends(entry) for key, entry in build_distributions(config).items()}
    fixed = {key: [value] for key, value in config.fixed.items()}
    values = {key: ends for key, ends in (searched | fixed).items() if "." not in key}
    return [dict(zip(values, corner, strict=True)) for corner in product(*values.values())]


def _ends(entry: BaseDistribution) -> list[Any]:
    if isinstance(entry, CategoricalDistribution):
        return list(entry.choices)
    assert isinstance(entry, IntDistribution | FloatDistribution)
    return [entry.low, entry.high]


def make(name: str) -> list[Objective]:
    """The objective at every corner."""
    return [objectives.load(name)(**corner) for corner in corners(name)]


every = pytest.mark.parametrize("name", objectives.names())


@every
def test_has_a_config(name: str) -> None:
    """The other half of the seam: a file of configs/; without one the tests below would test nothing."""
    assert corners(name)


@every
def test_is_frozen_and_keyword_only(name: str) -> None:
    """A setting cannot be changed after the fact, nor two fields swapped by their order."""
    objective = make(name)[0]
    assert all(field.kw_only for field in fields(objective))
    for field in fields(objective):
        with pytest.raises(FrozenInstanceError):
            setattr(objective, field.name, 1)


@every
def test_is_documented(name: str) -> None:
    """The docstring gives formula and source, and of each field the bounds and the meaning, and of no other."""
    kind = objectives.load(name)
    assert list(read_field_docs(kind)) == [field.name for field in fields(kind)]
    assert all(re.fullmatch(r"[^,]+, \S.*\.", doc) for doc in read_field_docs(kind).values())
    assert re.match(r"\S+(, \S+)*: .*[⟨(]", kind.__doc__ or "")
    assert re.search(r"Sources?: \S", kind.__doc__ or "")


@every
def test_unit_and_needs_are_known(name: str) -> None:
    """The loop knows both units and every need, and something is needed."""
    kind = objectives.load(name)
    assert kind.unit in ("token", "row")
    assert kind.needs
    assert kind.needs <= NEEDS


@every
def test_refuses_what_its_documentation_excludes(name: str) -> None:
    """One step beyond the written bound, infinity and NaN are refused, with the value in the message."""
    kind, good = objectives.load(name), corners(name)[0]
    for field, doc in read_field_docs(kind).items():
        for bad in outside(doc.partition(",")[0]):
            with pytest.raises(SettingError, match=re.escape(f"{field} = {bad}")):
                kind(**good | {field: bad})


def outside(bounds: str) -> list[Any]:
    """Values outside the bounds as a docstring writes them: `β > 0`, `whole number ≥ 1`, `true or false`."""
    if bounds == "true or false":
        return [1, 0.0]
    written = re.findall("([≥>≤<]) ([0-9.]+)", bounds)
    assert written, f"no bounds in {bounds!r}"
    kind = int if "whole" in bounds else float
    beyond = [change(kind(number), step) for sign, number in written for change, step in (REFUSED[sign],)]
    return [*beyond, *([1.5, True] if kind is int else []), math.nan, math.inf]


@every
def test_returns_the_unreduced_loss(name: str) -> None:
    """One float32 for each token or row, finite, with a gradient that is not 0 (refusals have as many tokens here)."""
    full = random(LENGTHS)
    for objective in make(name):
        loss = objective(only(full, objective.needs))
        assert loss.shape == ((len(LENGTHS),) if objective.unit == "row" else full.label.shape)
        assert loss.dtype == torch.float32
        assert loss.isfinite().all()
        assert any(gradient.any() for gradient in gradients(loss, full))


def gradients(loss: torch.Tensor, full: Answers) -> list[torch.Tensor]:
    """The gradients of the summed loss at the leaves that it depends on."""
    assert full.refusal is not None
    leaves = [leaf for leaf in (full.logits, full.hidden, full.refusal.logits) if leaf is not None]
    found = torch.autograd.grad(loss.sum(), leaves, allow_unused=True, retain_graph=True)
    return [gradient for gradient in found if gradient is not None]


@every
def test_needs_all_that_it_asks_for(name: str) -> None:
    """Without any one of its needs the call fails: the loop computes nothing in vain."""
    objective = make(name)[0]
    for need in objective.needs:
        with pytest.raises(AssertionError, match="needs"):
            objective(only(random(LENGTHS), objective.needs - {need}))


@every
@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(4)), cut=st.integers(0, 4), seed=st.integers(0, 99))
def test_any_order_and_any_split_of_rows_is_the_same(name: str, order: list[int], cut: int, seed: int) -> None:
    """The loss of a row is its own: rows in any order, in one call or two, give the same sum and the same gradients."""
    full = random(LENGTHS, seed)
    parts = [rows_of(full, rows) for rows in (order[:cut], order[cut:]) if rows]
    for objective in make(name):
        split = sum((objective(only(part, objective.needs)).sum() for part in parts), torch.zeros(()))
        whole = objective(only(full, objective.needs)).sum()
        torch.testing.assert_close(split, whole, rtol=1e-5, atol=1e-5)
        for ours, theirs in zip(gradients(split, full), gradients(whole, full), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@every
@settings(deadline=None, max_examples=20)
@given(scale=st.sampled_from([0.1, 3.0, 30.0]), seed=st.integers(0, 99))
def test_is_exact_in_float32(name: str, scale: float, seed: int) -> None:
    """The loss is float64's, but for the rounding of x in exp(x): 6e-8 · |x|, with |x| < 104 where exp(x) is not 0."""
    full = random(LENGTHS, seed, scale)
    for objective in make(name):
        answers = only(full, objective.needs)
        exact = objective(as_double(answers)).float()
        torch.testing.assert_close(objective(answers), exact, rtol=2e-5, atol=1e-6)


@every
def test_extremes_are_finite(name: str) -> None:
    """At p = 1, p = 1/3 and log p = −200 under model and reference, rows of one token and of none: never NaN.

    Beside two logits of 0 a label's logit of 1000 makes p exactly 1, one of −200 makes log p = −200 − ln 2.
    """
    tokens = list(product([1000.0, 0.0, -200.0], repeat=2))
    logit, ref_logit = zip(*tokens, *reversed(tokens), strict=True)
    for objective in make(name):
        full = extreme((1, 0, 1, 7), logit, ref_logit)
        loss = objective(only(full, objective.needs))
        assert loss.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients(loss, full))


def test_the_table_shows_every_objective(capsys: pytest.CaptureFixture[str]) -> None:
    """It has a line of each name with its unit and the beginning of its formula, and each field with its bounds."""
    main([])
    table = capsys.readouterr().out
    for name in objectives.names():
        kind = objectives.load(name)
        assert re.search(rf"^{name} .*{kind.unit} .*{re.escape((kind.__doc__ or '').split()[0])}", table, re.MULTILINE)
        assert all(f"{field}: {doc.partition(',')[0]}" in table for field, doc in read_field_docs(kind).items())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    """`wtpno` lacks a swap of `wtnpo`; a module that exists but holds no objective is not one either."""
    with pytest.raises(objectives.UnknownObjectiveError, match=r"'wtpno' is unknown.*nearest: wtnpo"):
        objectives.load("wtpno")
    with pytest.raises(objectives.UnknownObjectiveError, match="holds 0 objectives"):
        objectives.load("os.path")


def test_a_module_of_the_users_own_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of ga.py in another package is found by its dotted name, and is another class."""
    (tmp_path / "mine").mkdir()
    source = Path(objectives.__file__).with_name("ga.py").read_text(encoding="utf-8")
    (tmp_path / "mine" / "own.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert objectives.load("mine.own").__module__ == "mine.own"
