"""Disks that are full: Python, SQLite and safetensors say it in many ways, and the user is told which one it is."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import format_exception

from sweep.interrupts import BrokenOffError

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
