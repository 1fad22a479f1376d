"""Texts without passwords."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.redaction import redact


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
