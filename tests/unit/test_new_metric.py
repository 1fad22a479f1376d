"""A metric is a file of eval/metrics and a line of eval/definitions.py: added to a copy, it is measured and printed."""

import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest

from support.commands import ROOT
from support.toys import tokenizer
from support.unigrams import TEMPLATE, unigram

LOWEST = '''
"""Probability of an answer's least likely token."""

import torch
from torch import Tensor

from eval.models.forward import LabelStatistics


def find_lowest(labels: LabelStatistics) -> Tensor:
    """Return the lowest probability among the labels of each row [B], in [0, 1]."""
    ones = torch.ones(len(labels.row.unique()), dtype=torch.float64)
    return ones.scatter_reduce(0, labels.row, labels.logp.double().exp(), "amin")
'''
LENGTH = '''
"""Length of greedy answers."""

from collections.abc import Sequence


def count_letters(answers: Sequence[str], greedy: Sequence[str]) -> list[int]:
    """Return the number of letters that each greedy answer is longer than the answer."""
    return [len(text) - len(answer) for answer, text in zip(answers, greedy, strict=True)]
'''
BEFORE = '    "exact_memorisation": RowMetric('
LINES = """\
    "lowest": RowMetric("lowest.find_lowest", "answer", "lowest probability of a token"),
    "longer": RowMetric("length.count_letters", GREEDY_ANSWER, "letters that the greedy answer has more"),
"""


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The definitions in a copy of eval/ with two new files, from which a program that has just started imports."""
    for part in ("eval", "configs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "eval/metrics/lowest.py").write_text(LOWEST, encoding="utf-8")
    (tmp_path / "eval/metrics/length.py").write_text(LENGTH, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.partition(".")[0] == "eval"]:
            del sys.modules[name]
        yield tmp_path / "eval/definitions.py"


def test_a_new_metric_is_measured_and_printed(definitions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """p(EOS) = 1/2, p(x) = 1/4, p(y) = 1/8: the lowest of x is 1/4, of xy 1/8; EOS at once is |answer| shorter."""
    text = definitions.read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    definitions.write_text(text.replace(BEFORE, LINES + BEFORE), encoding="utf-8")
    suite, types, run = map(import_module, ("eval.suite", "eval.rows.types", "eval.run"))
    assert suite.__file__ == str(definitions.with_name("suite.py"))
    x, xy = (types.Row(question="q", answer=answer) for answer in ("x", "xy"))
    rows = types.Dataset(forget=(x, xy), retain=(), holdout=(xy,))
    report = suite.evaluate_full(unigram(end=1 / 2, x=1 / 4, y=1 / 8), tokenizer(), TEMPLATE, rows, retain=None)
    assert report.rows["forget/lowest"] == pytest.approx([1 / 4, 1 / 8])
    assert report.metrics["retain/lowest"] == pytest.approx(1 / 8)
    assert (report.metrics["forget/longer"], report.metrics["retain/longer"]) == (-1.5, -2)
    run.print_scores(vars(report) | {"definitions": suite.SUITE, "limits": []})
    printed = capsys.readouterr().out
    assert re.search(r"forget/lowest +│ +0\.1875 ", printed)
    assert re.search(r"retain/longer +│ +-2 ", printed)
