"""MLflow's database in a file: made whole or not at all, by one process or by two at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sweep.tracking.store import client_of


def test_a_fresh_store_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes it dies after the first table: MLflow would refuse the file for ever."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def dies(tracking_uri: str) -> None:
        Path(tracking_uri.removeprefix("sqlite:///")).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr("sweep.tracking.store.MlflowClient", dies)
        client_of(uri)
    assert list(tmp_path.iterdir()) == []
    assert [one.name for one in client_of(uri).search_experiments()] == ["Default"]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_two_that_make_a_store_share_it(tmp_path: Path) -> None:
    """Both find there what the other one added."""
    uri, names = f"sqlite:///{tmp_path / 'mlflow.db'}", ["one", "two"]
    with ThreadPoolExecutor() as both:
        list(both.map(lambda name: client_of(uri).create_experiment(name), names))
    assert {one.name for one in client_of(uri).search_experiments()} == {"Default", *names}
