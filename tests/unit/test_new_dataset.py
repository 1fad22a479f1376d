"""A dataset is a file of eval/datasets and a config: nothing else has to know it."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest

from eval import cli, datasets, shipped_configs
from support.composing import load_shipped
from sweep import config
from sweep.config import compose
from sweep.errors import ConfigError
from sweep.search.paper import is_stand_in

MODULE = '''
"""One row, asked often."""
from typing import Literal

from eval.datasets import DatasetOptions
from eval.options import Count
from eval.rows.types import Dataset, Row


class Options(DatasetOptions):
    source: Literal["letters"]
    rows: Count

    @property
    def is_paper_data(self) -> bool:
        return True


def load(config: Options) -> Dataset:
    rows = (Row(question="Which?", answer=config.name),) * config.rows
    return Dataset(forget=rows, retain=rows, holdout=rows)
'''
CONFIG = """# @package _global_
data: {source: letters, name: letters, paper_split: forget01, rows: 3}
"""
SWEEP = """\
defaults: [base, model: tiny, data: letters, recipe: default, cluster: local, _self_]
objective: ga
space: {}
fixed: {}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Path]:
    """A sweep beside the two files of a dataset, in a program that has just started."""
    for name, text in {"code/letters.py": MODULE, "data/letters.yaml": CONFIG, "sweep.yaml": SWEEP}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    with patch.dict(sys.modules), patch.dict(vars(config)), patch.dict(vars(datasets)):
        datasets.__path__ = [*datasets.__path__, str(tmp_path / "code")]
        for name in ("schema", "messages", "compose"):
            del sys.modules[f"sweep.config.{name}"]
        yield tmp_path / "sweep.yaml"


def test_a_new_dataset_is_composed_checked_and_loaded(sweep: Path) -> None:
    """Its keys are checked, its rows are loaded, and it says itself whether it is the paper's."""
    fresh = import_module("sweep.config.compose")
    composed = fresh.load(sweep, ["data.rows=5"])
    assert composed.data.model_dump() == {"source": "letters", "name": "letters", "paper_split": "forget01", "rows": 5}
    assert fresh.load(sweep, [f"data.{key}={value}" for key, value in composed.data]) == composed
    assert len(datasets.load(composed.data).forget) == 5
    assert is_stand_in(composed) and not is_stand_in(
        composed.model_copy(update={"model": load_shipped("wtnpo", "model=phi-1.5").model})
    )
    for override, message in {
        "data.rows=0": "data.rows = 0 must",
        "data.seed=1": "data.seed = 1 has no place in this kind of data: allowed are ",
        "data.source=latters": "data.source = 'latters' must be authors or letters or own or tofu.",
    }.items():
        with pytest.raises(ConfigError, match=message):
            fresh.load(sweep, [override])


def test_a_new_dataset_is_measured(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m eval.run` takes its config by name, and a split only where the dataset has some."""
    monkeypatch.setattr(shipped_configs, "CONFIGS", sweep.parent)
    assert len(cli.load_dataset(cli.parse_arguments(["x", "--data", "letters"])).holdout) == 3
    with pytest.raises(cli.UsageError, match="--unseen y is not allowed here: --data letters makes its own"):
        cli.load_dataset(cli.parse_arguments(["x", "--data", "letters", "--unseen", "y"]))


def test_old_module_is_back() -> None:
    """The tests above leave no trace."""
    assert sys.modules["sweep.config.compose"] is compose is config.compose
    assert datasets.list_names() == ["authors", "own", "tofu"]
