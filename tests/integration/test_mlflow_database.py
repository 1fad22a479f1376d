"""MLflow's database in a file: made whole or not at all, by one process or by two at once, and without a word."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support.commands import ROOT
from support.tracked import client, runs
from sweep.tracking.store import open_client


@pytest.fixture
def copied(empty_mlflow: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], MlflowClient]:
    """A client for whom a database that is not there is copied, which takes no time."""

    def open_or_copy(tracking_uri: str) -> MlflowClient:
        file = Path(tracking_uri.removeprefix("sqlite:///"))
        if not file.exists():
            shutil.copy(empty_mlflow, file)
        return MlflowClient(tracking_uri=tracking_uri)

    monkeypatch.setattr("sweep.tracking.store.MlflowClient", open_or_copy)
    return open_or_copy


def test_a_fresh_store_is_whole_or_not_there(
    tmp_path: Path, copied: Callable[[str], MlflowClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes it dies after the first table: MLflow would refuse the file for ever."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def dies(tracking_uri: str) -> None:
        Path(tracking_uri.removeprefix("sqlite:///")).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("sweep.tracking.store.MlflowClient", dies)
        open_client(uri)
    assert list(tmp_path.iterdir()) == []
    assert [one.name for one in open_client(uri).search_experiments()] == ["Default"]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_two_that_make_a_store_share_it(
    tmp_path: Path, copied: Callable[[str], MlflowClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one makes it another one is faster, and adds something: both find there what the other one added."""
    uri, begun = f"sqlite:///{tmp_path / 'mlflow.db'}", []

    def overtaken(tracking_uri: str) -> MlflowClient:
        begun.append(tracking_uri)
        if len(begun) == 1:
            open_client(uri).create_experiment("faster")
        return copied(tracking_uri)

    monkeypatch.setattr("sweep.tracking.store.MlflowClient", overtaken)
    open_client(uri).create_experiment("slower")
    assert len({*begun} - {uri}) == 2  # each began one of its own, beside the place
    assert {one.name for one in open_client(uri).search_experiments()} == {"Default", "faster", "slower"}
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_fresh_store_is_made_without_a_word(tmp_path: Path) -> None:
    """MLflow and its migration would log some lines."""
    code = (
        "import pathlib; from support import toys; from sweep.tracking.tracker import Tracker;"
        "print(repr(Tracker.start(toys.config(pathlib.Path('runs').absolute()), 'quiet').finish('FINISHED', [])))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")}
    environment["PYTHONPATH"] = f"{ROOT / 'tests'}{os.pathsep}{ROOT}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)  # noqa: S603
    assert (done.stdout, done.stderr) == ("''\n", "")
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlruns"}
    (parent,), _ = runs(client(tmp_path))
    assert (parent.info.run_name, parent.info.status) == ("quiet", "FINISHED")
