"""The MLflow store: its client, and its errors without passwords."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from sweep.redaction import redact
from sweep.services import databases
from sweep.tracking.address import is_database


class TrackingError(RuntimeError):
    """Refusal by MLflow, or failure to reach it; the message is one sentence without a password."""


def open_client(uri: str) -> MlflowClient:
    """Return a client of the store; create a missing SQLite file atomically first.

    MLflow creates its tables in dozens of steps, and never again opens a file in which only some of them exist.
    """
    file = databases.find_sqlite_file(uri) if is_database(uri) else None
    if file is not None and not file.exists():
        _create_database(file)
    return MlflowClient(tracking_uri=uri)


def _create_database(file: Path) -> None:
    """Create the database in a temporary folder, then move it here, unless another process was faster."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
        made = Path(folder).absolute() / file.name
        MlflowClient(tracking_uri=f"sqlite:///{made}")
        if not file.exists():
            made.rename(file)


def get_or_create_experiment(client: MlflowClient, name: str) -> str:
    """Return the id of the experiment with this name; create the experiment if it is missing."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


@contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Translate any exception of the block into a TrackingError without a password."""
    try:
        yield
    except Exception as error:
        raise TrackingError(f"MLflow at {redact(uri)}: {summarize_error(error)}") from None


def summarize_error(error: Exception) -> str:
    """Return the first line of an error without passwords, at most 300 characters; the type's name if it is empty."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact(lines[0])[:300]


def format_ui_command(uri: str) -> str:
    """Return the command that shows the runs of a store; for a server its address."""
    if not is_database(uri):
        return redact(uri)
    shown = shlex.quote(uri) if uri == redact(uri) else '"$MLFLOW_TRACKING_URI"'
    return f"{_find_mlflow_command()} ui --backend-store-uri {shown}"


def _find_mlflow_command() -> str:
    """Return the shell word that runs this environment's `mlflow` from the working directory."""
    own = Path(sys.executable).with_name("mlflow")
    if not own.exists() or shutil.which("mlflow") == str(own):
        return "mlflow"
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))
