"""A full disk, in the words of whoever says it: one sentence that says which disk it is."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from traceback import format_exc

import pytest

from sweep.atomic_io import translate_disk_full
from sweep.errors import BrokenOffError, Interrupted


def system() -> None:
    """A file on a disk that is always full."""
    with Path("/dev/full").open("wb") as file:
        file.write(b"x")


def database() -> None:
    """A database that may take four pages."""
    with sqlite3.connect(":memory:") as small:
        small.execute("pragma max_page_count = 4")
        small.execute("create table t (x)")
        small.execute("insert into t values (zeroblob(100000))")


def behind() -> None:
    """It is the cause of what is raised."""
    try:
        database()
    except sqlite3.OperationalError as error:
        raise RuntimeError("it cannot be written") from error


def as_text() -> None:
    """Ray Tune raises the traceback as a text."""
    try:
        system()
    except OSError:
        said = format_exc()
    raise ValueError(said)


def on_a_node() -> None:
    """The preparation says it of a node."""
    raise BrokenOffError("the preparation failed: OSError: [Errno 28] No space left on device (x.py, line 1)")


@pytest.mark.parametrize("work", [system, database, behind, as_text, on_a_node])
def test_a_full_disk_is_one_sentence(tmp_path: Path, work: Callable[[], None]) -> None:
    """The disk is that of the storage, here of what is above a storage that is not made yet."""
    with pytest.raises(BrokenOffError) as caught, translate_disk_full(tmp_path / "runs"):
        work()
    assert str(caught.value) == f"the disk of {tmp_path} is full"


@pytest.mark.parametrize("error", [ValueError("alpha"), OSError(13, "Permission denied"), Interrupted(2)])
def test_other_errors_are_what_they_are(tmp_path: Path, error: BaseException) -> None:
    """Of a mistake of ours, and of a signal, nothing is made."""
    with pytest.raises(type(error)) as caught, translate_disk_full(tmp_path):
        raise error
    assert caught.value is error
