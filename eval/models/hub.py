"""Repositories on the Hugging Face hub: which commit a revision stands for, and the files of a commit as a folder."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Literal, TypeAlias

from eval.rows.types import DataError

Kind: TypeAlias = Literal["model", "dataset"]
NAMES: dict[Kind, str] = {"model": r"\w[\w.-]*(/\w[\w.-]*)?", "dataset": r"\w[\w.-]*/\w[\w.-]*"}
"""What a repository may be called."""
LONGEST = 300
"""Characters of what the hub says."""

# huggingface_hub takes a while to import: whoever names a folder does not wait for it.


def is_id(path: str, kind: Kind) -> bool:
    """Whether a repository may have this name; any other path can only be a folder."""
    return re.fullmatch(NAMES[kind], path) is not None


def commit(path: str, kind: Kind, revision: str | None = None) -> str:
    """The commit that a revision (None: the newest) stands for now; without the hub the one that the cache knows.

    Raises:
        DataError: there is no such repository or revision, or nobody can be asked.
    """
    from huggingface_hub import HfApi

    with _quiet(path):
        return HfApi().resolve_revision(path, repo_type=kind, revision=revision).resolved


def names(path: str, revision: str | None) -> list[str]:
    """The names of a model's files; none where the hub does not say."""
    from huggingface_hub import HfApi

    try:
        with _quiet(path):
            return HfApi().list_repo_files(path, revision=revision)
    except DataError:
        return []


def fetched(path: str, kind: Kind, revision: str | None, patterns: Sequence[str]) -> Path:
    """A folder of the cache with the repository's own files that match one of the patterns, and no other new file.

    Raises:
        DataError: they cannot be had.
    """
    from huggingface_hub import snapshot_download

    with _quiet(path):
        folder = snapshot_download(
            path, repo_type=kind, revision=revision, allow_patterns=[*patterns], ignore_patterns=["*/*"]
        )
    return Path(folder)


@contextmanager
def _quiet(path: str) -> Iterator[None]:
    """No progress bars, since our display is live, and no log: what the hub says in many ways is one sentence."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown, log = not are_progress_bars_disabled(), logging.getLogger("huggingface_hub")
    level = log.level
    disable_progress_bars()
    log.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # its own, httpx's and the file system's have no common kind
        said = shorten(str(error) or type(error).__name__, LONGEST, placeholder="…").rstrip(".")
        raise DataError(f"{path} is no folder and cannot be had from the hub ({said})") from error
    finally:
        log.setLevel(level)
        if shown:
            enable_progress_bars()
