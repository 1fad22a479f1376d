"""Texts without passwords."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, make_url

from sweep.redaction import MAX_MESSAGE_CHARS, has_secret, redact, to_single_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqlite:////home/a/mlflow.db", "sqlite:////home/a/mlflow.db"),
        ("https://host:5000/path", "https://host:5000/path"),
        ("https://me:pw@host:5000/path", "https://***@host:5000/path"),
        (
            "no answer from postgresql+psycopg2://me:p/w@x@host/db, twice",
            "no answer from postgresql+psycopg2://***@host/db, twice",
        ),
        ("postgresql://host/db?user=me&password=pw", "postgresql://host/db?***"),
        ("mail me@example.org?", "mail me@example.org?"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    """Stars for the user's part and the query of a URL; the rest stays."""
    assert redact(text) == expected


@given(st.text(), st.sampled_from(["postgresql://me:{}@host/db", "http://{}@host", "mysql://host/db?password={}"]))
def test_no_password_survives(password: str, form: str) -> None:
    """Whatever the password is, its (quoted) text is gone; the mark in it is found nowhere else."""
    secret = "MARK" + quote(password, safe="")
    assert "MARK" not in redact(f"cannot open {form.format(secret)} now")


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("sqlite:////home/a/mlflow.db", False),
        ("http://host:5000/path", False),
        ("postgresql://me@host:5432/db?sslmode=require&passfile=/home/me/.pgpass", False),
        ("http://:pw@host", True),
        ("postgresql://me:p/w x@host/db", True),
        ("postgresql://host/db?user=me&password=pw", True),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dpw", True),
        ("https://host/path?access_token=pw", True),
    ],
)
def test_has_secret(url: str, secret: bool) -> None:
    """A password or a token, wherever a URL may hold one; a user, a port or a file of passwords is none."""
    assert has_secret(url) == secret


@given(user=st.text(min_size=1), password=st.none() | st.text(min_size=1), port=st.none() | st.integers(1, 65535))
def test_a_password_of_a_database_is_found(user: str, password: str | None, port: int | None) -> None:
    """Whatever user and password are: as SQLAlchemy writes the URL, and reads it back."""
    url = URL.create("postgresql", user, password, "host", port, "db").render_as_string(hide_password=False)
    assert has_secret(url) == (make_url(url).password is not None)


def test_a_line_can_be_read() -> None:
    """Nothing breaks it, it is of bounded length, and both its ends are kept."""
    assert to_single_line("a\nb\x1b[31m\0 ünï’") == r"a\nb\x1b[31m\x00 ünï’"
    assert to_single_line("x" * MAX_MESSAGE_CHARS) == "x" * MAX_MESSAGE_CHARS
    long = to_single_line("key = " + "x" * 100_000 + " must be less.")
    assert len(long) == MAX_MESSAGE_CHARS
    assert long.startswith("key = xxx") and long.endswith("xxx must be less.")
