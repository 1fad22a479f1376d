"""The revision of the code in a real git repository, and texts without passwords."""

import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.provenance import UNKNOWN, redact, revision, versions


def git(folder: Path, *arguments: str) -> str:
    """What git says in the folder."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip()


def test_revision_is_the_commit_and_says_when_files_differ(tmp_path: Path) -> None:
    """Unknown until the folder's files are committed; then HEAD; then HEAD with +dirty."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("x = 1\n")
    assert revision(package) == UNKNOWN
    git(tmp_path, "init", "-q")
    assert revision(package) == UNKNOWN
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert len(head) == 40
    assert revision(package) == head
    (package / "code.py").write_text("x = 2\n")
    assert revision(package) == f"{head}+dirty"


def test_installed_code_has_no_revision_though_it_lies_in_a_checkout(tmp_path: Path) -> None:
    """A virtual environment inside a checkout is not tracked: its copy of the code is not the checkout's."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("venv/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    installed = tmp_path / "venv" / "sweep"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("x = 1\n")
    assert revision(installed) == UNKNOWN


def test_versions_name_what_may_move_the_numbers() -> None:
    """Every version begins with a digit."""
    assert set(versions()) == {"torch", "transformers", "ray", "optuna"}
    assert all(text[0].isdigit() for text in versions().values())


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
