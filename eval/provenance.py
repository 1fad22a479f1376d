"""Where a number comes from: the code's revision and its libraries' versions."""

import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

UNKNOWN = "unknown"
"""The revision of code that lies in no checkout."""
LIBRARIES = ("torch", "transformers", "tokenizers", "scipy", "rouge-score")
"""What may move a metric."""


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """The installed version of each library."""
    return {name: version(name) for name in libraries}


def revision(folder: Path = Path(__file__).parent) -> str:
    """The commit of the checkout that tracks this folder's files, with `+dirty` where files differ; else `UNKNOWN`."""
    if not _git(folder, "ls-files", "."):
        return UNKNOWN
    dirty = "+dirty" if _git(folder, "status", "--porcelain") else ""
    return f"{_git(folder, 'rev-parse', 'HEAD') or UNKNOWN}{dirty}"


def _git(folder: Path, *arguments: str) -> str:
    """What git prints, empty where it fails or is not installed."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 (no shell; the program is fixed)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
