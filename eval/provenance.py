"""Provenance of a number: the code's revision and the versions of its libraries."""

import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

UNKNOWN_REVISION = "unknown"
"""Revision of code outside a git checkout."""
LIBRARIES = ("torch", "transformers", "tokenizers", "scipy", "rouge-score")
"""Libraries whose version may change a metric."""


def list_versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Return the installed version of each library."""
    return {name: version(name) for name in libraries}


def find_revision(folder: Path = Path(__file__).parent) -> str:
    """Return the commit of the checkout that tracks this folder's files; `UNKNOWN_REVISION` if none does.

    `+dirty` is appended if files of the checkout differ from the commit.
    """
    if not _run_git(folder, "ls-files", "."):
        return UNKNOWN_REVISION
    dirty = "+dirty" if _run_git(folder, "status", "--porcelain") else ""
    return f"{_run_git(folder, 'rev-parse', 'HEAD') or UNKNOWN_REVISION}{dirty}"


def _run_git(folder: Path, *arguments: str) -> str:
    """Return git's output; empty if git fails or is not installed."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 (no shell; the program is fixed)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
