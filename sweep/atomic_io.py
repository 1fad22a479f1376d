"""Atomic writes of files and folders, and a clear error for a full disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import format_exception

from sweep.errors import BrokenOffError

DISK_FULL_MESSAGES = ("No space left on device", "disk is full", "Disk quota exceeded")
"""Parts of the messages that the operating system and SQLite give for a full disk."""


@contextmanager
def translate_disk_full(storage: Path) -> Iterator[None]:
    """Translate any error about a full disk into a BrokenOffError that names the disk.

    Args:
        storage: the folder that the block writes to; Ray writes to the temporary folder besides.

    Raises:
        BrokenOffError: the traceback of the error, its causes included, mentions a full disk.
    """
    try:
        yield
    except (Exception, BrokenOffError) as error:
        said = "".join(format_exception(error))
        if not any(words in said for words in DISK_FULL_MESSAGES):
            raise
        raise BrokenOffError(f"the disk of {_find_fullest(storage, Path(tempfile.gettempdir()))} is full") from error


def _find_fullest(*folders: Path) -> Path:
    """Return the folder whose disk has the least free space; a missing folder stands for its nearest parent."""
    return min(map(_find_existing, folders), key=count_free_bytes)


def count_free_bytes(folder: Path) -> int:
    """Return the free bytes of a folder's disk; a missing folder stands for its nearest parent."""
    return shutil.disk_usage(_find_existing(folder)).free


def _find_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def create_folder(folder: Path, file: str, text: str) -> None:
    """Create a folder with one file in it atomically; raise OSError if the folder exists and is not empty."""
    made = folder.with_name(f".{folder.name}.new")  # may be left over by a process that died here
    made.mkdir(parents=True, exist_ok=True)
    (made / file).write_text(text, encoding="utf-8")
    made.rename(folder)


def atomic_write(path: Path, content: str | bytes) -> None:
    """Replace a file atomically, by writing another and renaming it: a reader finds the old or the new content."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
