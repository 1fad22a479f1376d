"""Files and folders that are there as a whole or not at all, and the sentence that names a full disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import format_exception

from sweep.errors import BrokenOffError

SAID = ("No space left on device", "disk is full", "Disk quota exceeded")
"""What is in the errors of the system, or in those of SQLite, of whatever raised them and of what came after."""


@contextmanager
def room_in(storage: Path) -> Iterator[None]:
    """Raise whatever says that a disk is full as one sentence.

    Args:
        storage: where the block writes; Ray writes in the temporary folder.

    Raises:
        BrokenOffError: the disk of one of the two is full.
    """
    try:
        yield
    except (Exception, BrokenOffError) as error:
        said = "".join(format_exception(error))
        if not any(words in said for words in SAID):
            raise
        raise BrokenOffError(f"the disk of {_fullest(storage, Path(tempfile.gettempdir()))} is full") from error


def _fullest(*folders: Path) -> Path:
    """That of the folders, or of what is above one that is not there, on whose disk is the least room."""
    there = [next(path for path in (folder, *folder.parents) if path.exists()) for folder in folders]
    return min(there, key=lambda folder: shutil.disk_usage(folder).free)


def make(folder: Path, file: str, text: str) -> None:
    """Make a folder with a file in it, both or none; raises OSError where there is a folder of this name."""
    made = folder.with_name(f".{folder.name}.new")  # that of a process which died here is used again
    made.mkdir(parents=True, exist_ok=True)
    (made / file).write_text(text, encoding="utf-8")
    made.rename(folder)


def put(path: Path, content: str | bytes) -> None:
    """Write a file beside, then rename it: whoever reads it, whenever the writer dies, has the old or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
