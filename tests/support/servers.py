"""Start servers on free ports, which end with their block."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import pytest

from support.waiting import until

PASSWORD = "planted-secret"  # noqa: S105 (of a database that lives as long as a test)
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
"""Variables that a client of the object store needs."""


def free_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


def answers(address: str) -> bool:
    """Return True if a web server answers at the address."""
    try:
        with urlopen(address, timeout=1):  # noqa: S310
            return True
    except OSError:
        return False


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    ready: Callable[[], bool],
    user: str | None = None,
    variables: dict[str, str] | None = None,
) -> Iterator[None]:
    """Run a server, and kill its whole process group when the block ends.

    Args:
        command: program and arguments.
        folder: working directory.
        ready: returns True once the server is up.
        user: user that runs it; None: that of the test.
        variables: more variables of its environment.
    """
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment |= variables or {}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=environment, start_new_session=True, stdout=log, stderr=log, user=user
        )
    try:
        until(lambda: server.poll() is not None or ready())
        assert server.poll() is None, (folder / "server.log").read_text()
        yield
    finally:
        os.killpg(server.pid, 9)
        server.wait()


@contextmanager
def mlflow(store: str, folder: Path, port: int, variables: dict[str, str] | None = None) -> Iterator[str]:
    """Run an MLflow server over a database, with its artifacts in a folder, and yield its address."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    with running(command, folder, lambda: answers(f"{address}/health"), variables=variables):
        yield address


@contextmanager
def postgres(databases: Sequence[str]) -> Iterator[str]:
    """Run a PostgreSQL server with these databases, and yield its URL without database and password."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "-").parent]
    if not (programs[-1] / "initdb").exists():
        pytest.skip("there is no PostgreSQL: Debian's package postgresql has it")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with TemporaryDirectory(prefix="postgres-") as name:
        folder, port = Path(name), free_port()
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            shutil.chown(path, user or os.geteuid())
        made = [f"{programs[-1]}/initdb", "-D", f"{name}/data", "-U", "sweep", "-A", "scram-sha-256", "--no-sync"]
        subprocess.run([*made, f"--pwfile={name}/password"], user=user, cwd=name, check=True, capture_output=True)  # noqa: S603
        command = [f"{programs[-1]}/postgres", "-D", f"{name}/data", "-h", "127.0.0.1", "-p", str(port), "-k", name]
        listening = [f"{programs[-1]}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        with running(command, folder, lambda: subprocess.run(listening).returncode == 0, user):  # noqa: S603
            url = f"postgresql://sweep@127.0.0.1:{port}"
            with psycopg.connect(f"{url}/postgres", password=PASSWORD, autocommit=True) as connection:
                for database in databases:
                    connection.execute(SQL("create database {}").format(Identifier(database)))
            yield url


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """Run a server of the S3 protocol that keeps its objects in memory, and yield its host and port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, folder, lambda: answers(f"http://127.0.0.1:{port}")):
        yield f"127.0.0.1:{port}"


def bucket(server: str, name: str) -> str:
    """Make a bucket in the object store, and return the URL of a folder in it; the environment must hold `KEYS`."""
    from pyarrow.fs import FileSystem

    options = f"endpoint_override={server}&scheme=http&region=us-east-1"
    FileSystem.from_uri(f"s3://{name}?{options}&allow_bucket_creation=true")[0].create_dir(name)
    return f"s3://{name}/artifacts?{options}"
