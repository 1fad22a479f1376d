"""The revision of the code in a real git repository, and the versions of its libraries."""

import subprocess
from pathlib import Path

from eval.provenance import UNKNOWN_REVISION, find_revision, list_versions


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
    assert find_revision(package) == UNKNOWN_REVISION
    git(tmp_path, "init", "-q")
    assert find_revision(package) == UNKNOWN_REVISION
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert len(head) == 40
    assert find_revision(package) == head
    (package / "code.py").write_text("x = 2\n")
    assert find_revision(package) == f"{head}+dirty"


def test_installed_code_has_no_revision_though_it_lies_in_a_checkout(tmp_path: Path) -> None:
    """A virtual environment inside a checkout is not tracked: its copy of the code is not the checkout's."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("venv/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    installed = tmp_path / "venv" / "sweep"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("x = 1\n")
    assert find_revision(installed) == UNKNOWN_REVISION


def test_versions_name_what_may_move_the_numbers() -> None:
    """Every version begins with a digit."""
    found = list_versions(("torch", "ray"))
    assert set(found) == {"torch", "ray"}
    assert all(text[0].isdigit() for text in found.values())
