"""The tracking URI, and the check that there can be an MLflow at it.

A server that does not answer may answer later. A URI of a kind that MLflow does not know never works, nor does a file
that cannot be written, or a database that is not MLflow's. Imports no MLflow, which takes a second.
"""

import configparser
import os
from collections.abc import Iterable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from sweep.config.messages import nearest_hint
from sweep.errors import ConfigError
from sweep.services import databases

DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")
"""URL schemes of databases that `mlflow ui` opens itself; other URIs name servers."""
SERVER_SCHEMES = ("http", "https")
ALLOWED = "allowed are http://HOST:PORT, sqlite:///FILE, postgresql://HOST/DATABASE and databricks"


def get_tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, else the URI of mlflow.db in the working directory; it may hold a password."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def is_database(uri: str) -> bool:
    """Return True if the URI names a database and no server."""
    return _scheme(uri) in DATABASE_SCHEMES


def check_uri_kind(uri: str) -> None:
    """Refuse a URI that names no store of MLflow on any machine.

    Raises:
        ConfigError: its scheme is unknown, or the part that says where the store is, is missing.
    """
    scheme = _scheme(uri)
    if scheme in ("", "file"):
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise _refusal(uri, f"is a folder, which MLflow 3 refuses as a store: {ALLOWED}")
        return
    known = [*SERVER_SCHEMES, *DATABASE_SCHEMES, "databricks", *_list_plugin_schemes()]
    if scheme not in known:
        raise _refusal(uri, f"has a scheme that MLflow does not know: {ALLOWED}{nearest_hint(scheme, known)}")
    if scheme in SERVER_SCHEMES and not _has_host(uri):
        raise _refusal(uri, "names no server: it must be as http://HOST:PORT")


def check_tracking_uri() -> None:
    """Refuse a tracking URI at which this machine can never reach an MLflow; a server that does not answer passes.

    Raises:
        ConfigError: as `check_uri_kind`, or a driver or credentials are missing, or the database is not MLflow's.
    """
    uri = get_tracking_uri()
    check_uri_kind(uri)
    if _scheme(uri) == "databricks":
        _check_databricks(uri)
    elif is_database(uri):
        _check_database(uri)


def _check_databricks(uri: str) -> None:
    if not (find_spec("databricks") and find_spec("databricks.sdk")):
        raise _refusal(uri, "needs the package databricks-sdk")
    profile = urlsplit(uri).netloc.partition(":")[0] or os.environ.get("DATABRICKS_CONFIG_PROFILE") or "DEFAULT"
    file = Path(os.environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    if not {"DATABRICKS_HOST", "DATABRICKS_RUNTIME_VERSION"} & {*os.environ} and not _has_profile(file, profile):
        raise _refusal(
            uri, f"has no workspace: set DATABRICKS_HOST and DATABRICKS_TOKEN, or add the profile {profile} to {file}"
        )


def _has_profile(file: Path, profile: str) -> bool:
    """Return True if Databricks' file of credentials has a host for the profile."""
    parsed = configparser.ConfigParser(default_section="", interpolation=None)
    try:
        parsed.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return False
    return parsed.has_option(profile, "host")


def _check_database(uri: str) -> None:
    try:
        _check_file(uri)
        owner = databases.find_other_owner(uri, "MLflow")
    except OperationalError as error:
        # PostgreSQL begins so where it answers and refuses: a wrong password, no such database.
        if _scheme(uri) == "sqlite" or "FATAL:" in str(error):
            raise _refusal(uri, f"cannot be opened: {str(error).splitlines()[0]}") from None
        return
    except (SQLAlchemyError, ImportError) as error:
        raise _refusal(uri, f"cannot be opened: {str(error).splitlines()[0]}") from None
    if owner is not None:
        raise _refusal(uri, f"is the database of {owner}: give MLflow one of its own")


def _check_file(uri: str) -> None:
    """Refuse a SQLite file that cannot be written or created."""
    file = databases.find_sqlite_file(uri)
    if file is None:
        return
    there = next(path for path in (file.absolute(), *file.absolute().parents) if path.exists())
    is_made = there == file.absolute()
    if not (there.is_file() and os.access(there, os.W_OK) if is_made else _can_write_in(there)):
        raise _refusal(uri, f"must be a file that can be written, but {there} cannot")


def _can_write_in(folder: Path) -> bool:
    """Return True if a file can be created in the folder; permissions alone say too little, as of /proc."""
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _has_host(uri: str) -> bool:
    """Return True if a URL has a host, and a port that can be one or none."""
    try:
        parts = urlsplit(uri)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _scheme(uri: str) -> str:
    """Return the scheme of a URI without the driver; `databricks` alone is one."""
    scheme = "databricks" if uri == "databricks" else urlsplit(uri).scheme
    return scheme.partition("+")[0]


def _list_plugin_schemes() -> Iterable[str]:
    """List the schemes that installed plugins add to MLflow."""
    return [point.name for point in entry_points(group="mlflow.tracking_store")]


def _refusal(uri: str, reason: str) -> ConfigError:
    return ConfigError(f"MLFLOW_TRACKING_URI = {uri!r} {reason}.")
