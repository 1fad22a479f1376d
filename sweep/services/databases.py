"""Databases in which a sweep keeps something: the one that a URL names, and the tables that are in it.

Optuna and MLflow both keep the version of their tables in a table `alembic_version`, so that neither can use a database
of the other, or of a third program that keeps its version there.
"""

import os
import socket
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

CONNECT_TIMEOUT_S = 10
"""Time in which a database server must answer; with the drivers' own default a lost one takes two minutes."""
TIMEOUT_OPTION = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout"} | {
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
}
"""Option of a connection that limits its time, by driver."""
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
"""Names of this machine."""
VERSION_TABLE = "alembic_version"
OWNER_TABLES = {"MLflow": "experiments", "Optuna": "studies"}
"""A table that only this program makes, by its name."""


def find_other_owner(url: str, own: str) -> str | None:
    """Return the name of another program that keeps its version in the database; None if `own` can use it.

    Nothing is created or changed.

    Args:
        url: of the database.
        own: a key of `OWNER_TABLES`.

    Raises:
        SQLAlchemyError: the database cannot be opened.
        ImportError: its driver is not installed.
    """
    tables = _list_tables(make_url(url))
    others = [name for name, table in OWNER_TABLES.items() if name != own and table in tables]
    if others or VERSION_TABLE not in tables or OWNER_TABLES[own] in tables:
        return next(iter(others), None)
    return "another program"


def is_same_database(one: str, other: str) -> bool:
    """Return True if two URLs name one database, however they are written; False also where one names none."""
    try:
        return _identify(make_url(one)) == _identify(make_url(other))
    except (SQLAlchemyError, ValueError):
        return False


def find_sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite database; None for other databases and for one in memory."""
    made = make_url(url)
    name = (made.database or "").removeprefix("file:").partition("?")[0]
    return Path(name) if made.get_backend_name() == "sqlite" and name and name != ":memory:" else None


def list_connect_options(url: str) -> dict[str, Any]:
    """Return the arguments of `create_engine` that limit the time to connect; none where the URL has its own limit."""
    made = make_url(url)
    backend = made.get_backend_name()
    option = None if backend == "sqlite" else TIMEOUT_OPTION.get(made.get_driver_name())
    return {"connect_args": {option: CONNECT_TIMEOUT_S}} if option and option not in made.query else {}


def _list_tables(url: URL) -> set[str]:
    """List the tables of a database; none if it is a SQLite file that does not exist, which connecting would create."""
    text = url.render_as_string(hide_password=False)
    file = find_sqlite_file(text)
    if file is not None and not file.exists():
        return set()
    engine = create_engine(url, poolclass=NullPool, **list_connect_options(text))
    return set(inspect(engine).get_table_names())


def _identify(url: URL) -> tuple[object, ...]:
    """Return what is the same for all URLs of one database: not the driver, the user or a way to write the path."""
    kind = url.get_backend_name()
    file = find_sqlite_file(url.render_as_string(hide_password=False))
    if kind == "sqlite":
        return kind, file and file.resolve()
    asked = {key: str(value) for key, value in url.query.items()}
    libpq = os.environ if kind == "postgresql" else {}
    host = (url.host or asked.get("host") or libpq.get("PGHOST") or "localhost").lower()
    is_local = host in LOOPBACK or host.startswith("/") or host == socket.gethostname().lower()
    port = url.port or asked.get("port") or libpq.get("PGPORT") or DEFAULT_PORTS.get(kind, 0)
    database = url.database or libpq.get("PGDATABASE") or url.username
    return kind, "localhost" if is_local else host, int(port), database, asked.get("options")
