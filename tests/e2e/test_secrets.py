"""Secrets of the environment and of a URL are in nothing that a comparison leaves."""

from collections.abc import Mapping

from support.comparison import SECRETS, Comparison, database, objects


def holding(texts: Mapping[str, bytes]) -> list[str]:
    """Which texts hold a secret."""
    return [name for name, text in texts.items() if any(secret.encode() in text for secret in SECRETS)]


def test_the_files_and_the_output_hold_none(comparison: Comparison) -> None:
    """Of the command; its folder has its output as well."""
    files = {str(path): path.read_bytes() for path in comparison.folder.rglob("*") if path.is_file()}
    assert len(files) > 20
    assert comparison.output.encode() in files.values()
    assert holding(files) == []


def test_the_logs_of_ray_hold_none(comparison: Comparison) -> None:
    """Nor anything else that Ray wrote meanwhile."""
    assert any("runtime_env_agent" in name for name in comparison.logs)
    assert holding(comparison.logs) == []


def test_mlflow_holds_none(comparison: Comparison) -> None:
    """Not in a row of its database, in an artifact or in the server's log."""
    rows = database(f"{comparison.servers.postgres}/mlflow")
    assert comparison.folder.as_posix().encode() in rows["tags"]
    assert holding(rows) == []
    files = {str(path): path.read_bytes() for path in comparison.servers.mlflow.rglob("*") if path.is_file()}
    assert any(name.endswith("config.yaml") for name in files)
    assert holding(files) == []


def test_the_ledgers_hold_none(comparison: Comparison) -> None:
    """Not in a row of a table of Optuna's."""
    rows = database(comparison.servers.ledger)
    assert rows["trials"]
    assert holding(rows) == []


def test_the_object_store_holds_none(comparison: Comparison, object_store: str) -> None:
    """Neither in a model nor in what is beside it."""
    kept = objects(comparison.servers.artifacts)
    assert any(name.endswith("model.safetensors") for name in kept)
    assert holding(kept) == []
