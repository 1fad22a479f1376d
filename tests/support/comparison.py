"""One finished comparison of two real sweeps on real servers, which many tests read, and a re-run of a setting."""

import csv
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from mlflow import MlflowClient
from mlflow.entities import Run
from psycopg.sql import SQL, Identifier
from pyarrow.fs import FileSelector, FileSystem, FileType

from support.commands import ROOT, SMALL, Command
from support.servers import KEYS, PASSWORD
from sweep.records import Setting

NAME = "both"
NAMES = (f"{NAME}.wga", f"{NAME}.npo")
PASSING_LINE = r"\d+(/\d+)? trials  |.* steps, loss "
"""Beginning of a line that tells the time that is left or the progress of a trial: a slow machine prints more."""
"""The sweeps of the comparison."""
WORDS = (
    *(
        str(ROOT / "configs" / "wga.yaml"),
        str(ROOT / "configs" / "npo.yaml"),
        *SMALL,
        "eval.suite=full",
        "search.race=2",
        "save=best",
    ),
    *("model.shape.layers=2", "model.deepest=1", "target.epochs=20", "train.batch=2"),
)
"""Small, but trained long enough that the target knows its rows, so that settings differ in what they forget."""
UMASK = 0o077
IN_THE_URI = "planted-in-uri"
PLANTED = {
    key: f"planted-{key}"
    for key in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN")
} | {"PGPASSWORD": PASSWORD}
SECRETS = (*PLANTED.values(), IN_THE_URI)
"""Secrets in the environment and the tracking URI of the command, which must be stored nowhere."""


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Servers that store the results of a comparison.

    Attributes:
        tracking: the address of the MLflow server.
        mlflow: the folder of the MLflow server, with its artifacts and its log.
        postgres: the URL of PostgreSQL, with the databases mlflow and ledgers.
        artifacts: the URL for prepared models.
    """

    tracking: str
    mlflow: Path
    postgres: str
    artifacts: str

    @property
    def ledger(self) -> str:
        """URL of the database with the studies."""
        return f"{self.postgres}/ledgers"


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A command that has ended with exit code 0.

    Attributes:
        folder: its working directory.
        output: what it printed.
        modes: permission bits of each path that it created in the folder, where the storage lies too.
    """

    folder: Path
    output: str
    modes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Comparison(Launched):
    """The finished comparison.

    Attributes:
        servers: still hold all of its data.
        logs: the content of each log file that Ray left.
    """

    servers: Servers
    logs: Mapping[str, bytes]

    def path(self, name: str) -> Path:
        """Return the folder of one of the sweeps."""
        return self.folder / "runs" / name

    def summary(self, name: str) -> Any:
        """Read the summary.json of one of the sweeps."""
        return json.loads((self.path(name) / "summary.json").read_text())

    @property
    def client(self) -> MlflowClient:
        """A client of the MLflow server."""
        return MlflowClient(tracking_uri=self.servers.tracking)

    @property
    def runs(self) -> list[Run]:
        """All MLflow runs of the experiment."""
        (experiment,) = [found for found in self.client.search_experiments() if found.name == "tiny-authors"]
        return list(self.client.search_runs([experiment.experiment_id]))


def compare(folder: Path, servers: Servers) -> Comparison:
    """Launch the comparison with a umask that excludes other users, and with secrets in the environment."""
    secret = servers.tracking.replace("://", f"://me:{IN_THE_URI}@")
    words = (*WORDS, f"ledger={servers.ledger}", f'artifacts="{servers.artifacts}"', "--name", NAME)
    with TemporaryDirectory(prefix="ray-") as logs:
        variables = KEYS | PLANTED | {"MLFLOW_TRACKING_URI": secret, "RAY_TMPDIR": logs}
        done = _launched(folder, *words, **variables)
        read = {str(file): file.read_bytes() for file in Path(logs).rglob("*") if file.is_file()}
    return Comparison(**vars(done), servers=servers, logs=read)


def run_found_again(comparison: Comparison) -> Launched:
    """Run the command for the found setting from the summary of the first sweep, with another storage.

    That storage shares only the URL for prepared models; its study and its MLflow database are new files.
    """
    program, option, module, *words = shlex.split(comparison.summary(NAMES[0])["again"]["found"])
    assert (program, option, module) == ("python", "-m", "sweep.launch")
    return _launched(comparison.folder, *words, "storage=elsewhere", "--name", "found", **KEYS)


def _launched(folder: Path, *argv: str, **variables: str) -> Launched:
    """Run sweep.launch with the umask, and wait until all its processes have ended."""
    before = {*folder.rglob("*")}
    with umask(UMASK):
        command = Command(folder, *argv, variables={"PYTHONPATH": str(ROOT)} | variables)
    assert command.end() == 0, command.said()
    made = {*folder.rglob("*")} - before
    modes = {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in made}
    return Launched(folder=folder, output=command.said(), modes=modes)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set this umask for the block, and for the processes that it starts."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def trial_lines(text: str) -> list[dict[str, str]]:
    """Parse a trials.csv into rows without the index."""
    return [{key: value for key, value in row.items() if key != "index"} for row in csv.DictReader(text.splitlines())]


def of_setting(lines: list[dict[str, str]], setting: Setting) -> dict[str, str]:
    """Return the only row with this setting."""
    (found,) = [line for line in lines if {key: float(line[key]) for key in setting} == setting]
    return found


def database(url: str) -> dict[str, bytes]:
    """Return the content of each table of a PostgreSQL database, as text."""
    found = {}
    with psycopg.connect(url, password=PASSWORD) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            with connection.cursor().copy(SQL("copy {} to stdout").format(Identifier(table))) as copy:
                found[str(table)] = b"".join(bytes(part) for part in copy)
    return found


def objects(url: str) -> dict[str, bytes]:
    """Return the content of each object in a folder of the object store; the environment must hold `KEYS`."""
    files, base = FileSystem.from_uri(url)
    inside = files.get_file_info(FileSelector(base, recursive=True))
    return {one.path: files.open_input_stream(one.path).readall() for one in inside if one.type == FileType.File}
