"""Where MLflow keeps its runs, and what is said when it refuses."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from mlflow import MlflowClient
from sqlalchemy import make_url

from sweep.redaction import redact

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Stores that `mlflow ui` opens itself; others are servers."""


class TrackingError(RuntimeError):
    """MLflow refused, or could not be reached; the message is one sentence without a password."""


def store() -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, else mlflow.db in the working directory; it may hold a password."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def client_of(uri: str) -> MlflowClient:
    """A client of the store; a database in a file is made where there is none, and is there once it is whole.

    MLflow makes its tables in dozens of steps, and never opens a file again of which it made a few.
    """
    name = make_url(uri).database if uri.startswith("sqlite") else None
    if name and name != ":memory:" and not Path(name).exists():
        _make(Path(name))
    return MlflowClient(tracking_uri=uri)


def _make(file: Path) -> None:
    """Make it beside, then rename it, unless another process was faster."""
    with TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        made = Path(folder).absolute() / file.name
        MlflowClient(tracking_uri=f"sqlite:///{made}")
        if not file.exists():
            made.rename(file)


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment of this name, made where there is none."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


@contextmanager
def one_sentence(uri: str) -> Iterator[None]:
    """Raise whatever MLflow raises as one TrackingError without a password."""
    try:
        yield
    except Exception as error:
        raise TrackingError(f"MLflow at {redact(uri)}: {sentence(error)}") from None


def sentence(error: Exception) -> str:
    """The first line of an error, without a password."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact(lines[0])[:300]


def ui_command(uri: str) -> str:
    """The command that shows the runs of a store; for a server its address."""
    if urlsplit(uri).scheme.partition("+")[0] not in DATABASES:
        return redact(uri)
    shown = shlex.quote(uri) if uri == redact(uri) else '"$MLFLOW_TRACKING_URI"'
    return f"{_program()} ui --backend-store-uri {shown}"


def _program() -> str:
    """How this environment's `mlflow` is called from the working directory."""
    own = Path(sys.executable).with_name("mlflow")
    if not own.exists() or shutil.which("mlflow") == str(own):
        return "mlflow"
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))
