"""Repositories on the Hugging Face hub: the commit of a revision, and the files of a commit as a folder."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Literal, TypeAlias

from eval.models import safetensors_check
from eval.rows.types import DataError

RepoKind: TypeAlias = Literal["model", "dataset"]
ID_PATTERNS: dict[RepoKind, str] = {"model": r"\w[\w.-]*(/\w[\w.-]*)?", "dataset": r"\w[\w.-]*/\w[\w.-]*"}
"""Regular expressions of valid repository ids."""
MAX_ERROR_CHARS = 300
"""Maximum length of an error of the hub in a message."""

# huggingface_hub is slow to import, so a function that needs it imports it; a local folder needs none of it.


class HubUnreachableError(DataError):
    """Raised if neither the hub nor its cache has an answer, so that a repository may or may not exist."""


def is_repo_id(path: str, kind: RepoKind) -> bool:
    """Return True if the path is a valid repository id; any other path can only be a folder."""
    return re.fullmatch(ID_PATTERNS[kind], path) is not None


def resolve_commit(path: str, kind: RepoKind, revision: str | None = None) -> str:
    """Resolve a revision (None: the newest) to its current commit, or offline to the one that the cache has.

    Raises:
        DataError: there is no such repository or revision.
        HubUnreachableError: neither hub nor cache has an answer.
    """
    from huggingface_hub import HfApi

    with _silence_hub(path):
        return HfApi().resolve_revision(path, repo_type=kind, revision=revision).resolved


def list_files(path: str, revision: str | None) -> list[str]:
    """List the names of a model's files, of the cached weights alone if there are some; empty if the hub is silent."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    names = (safetensors_check.WEIGHTS_FILE, safetensors_check.INDEX_FILE)
    if cached := [name for name in names if isinstance(try_to_load_from_cache(path, name, revision=revision), str)]:
        return cached
    try:
        with _silence_hub(path):  # one request: list_repo_files would try for half a minute
            return [file.rfilename for file in HfApi().model_info(path, revision=revision).siblings or ()]
    except DataError:
        return []


def fetch_files(path: str, kind: RepoKind, revision: str | None, patterns: Sequence[str]) -> Path:
    """Fetch the repository's own files that match one of the patterns, and no others; return their cache folder.

    Raises:
        DataError: they cannot be fetched.
        HubUnreachableError: neither hub nor cache has an answer.
    """
    from huggingface_hub import snapshot_download

    with _silence_hub(path):
        folder = snapshot_download(
            path, repo_type=kind, revision=revision, allow_patterns=[*patterns], ignore_patterns=["*/*"]
        )
    return Path(folder)


@contextmanager
def _silence_hub(path: str) -> Iterator[None]:
    """Silence the hub's progress bars (our display is live) and its log; translate its errors into one sentence."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    has_bars, log = not are_progress_bars_disabled(), logging.getLogger("huggingface_hub")
    level = log.level
    disable_progress_bars()
    log.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # errors of the hub, httpx and the file system have no common class
        reason = shorten(str(error) or type(error).__name__, MAX_ERROR_CHARS, placeholder="…").rstrip(".")
        kind = DataError if isinstance(error, HfHubHTTPError) else HubUnreachableError
        raise kind(f"{path} is no folder and cannot be had from the hub ({reason})") from error
    finally:
        log.setLevel(level)
        if has_bars:
            enable_progress_bars()
