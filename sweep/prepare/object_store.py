"""Artifacts at a URL, for nodes that share no folder: any file system that pyarrow knows, such as s3://bucket/prefix.

An object store cannot rename, so a copy lies in `URL/HASH/COPY/`, and `URL/HASH/current`, written last, names the
complete copy. Hence half a copy is never read, and of two writers at the same time one wins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pyarrow.fs import FileSystem, FileType, LocalFileSystem, copy_files

from sweep.errors import ConfigError
from sweep.redaction import redact
from sweep.services.waiting import tell_wait

CURRENT_FILE = "current"


def has_artifact(url: str, name: str) -> bool:
    """Check that the artifact of this name is at the URL.

    Raises:
        ConfigError: the URL cannot be used.
    """
    with tell_wait(f"artifacts = {redact(url)!r}"), _open_url(url) as (files, base):
        return bool(files.get_file_info(f"{base}/{name}/{CURRENT_FILE}").type == FileType.File)


def upload_artifact(url: str, folder: Path) -> None:
    """Copy an artifact's folder to the URL.

    Raises:
        ConfigError: the URL cannot be used.
    """
    with _open_url(url) as (files, base):
        place, copy = f"{base}/{folder.name}", uuid4().hex
        files.create_dir(f"{place}/{copy}")
        copy_files(str(folder), f"{place}/{copy}", source_filesystem=LocalFileSystem(), destination_filesystem=files)
        with files.open_output_stream(f"{place}/{CURRENT_FILE}") as out:
            out.write(copy.encode())


def download_artifact(url: str, name: str, folder: Path) -> None:
    """Copy an artifact from the URL into a folder.

    Raises:
        ConfigError: the URL cannot be used.
    """
    with _open_url(url) as (files, base):
        source = _current_copy(files, f"{base}/{name}")
        copy_files(source, str(folder), source_filesystem=files, destination_filesystem=LocalFileSystem())


def read_text(url: str, name: str, file: str) -> str:
    """Read one file of an artifact at the URL as text.

    Raises:
        ConfigError: the URL cannot be used.
    """
    with _open_url(url) as (files, base):
        return _read_file(files, f"{_current_copy(files, f'{base}/{name}')}/{file}")


def _current_copy(files: FileSystem, place: str) -> str:
    return f"{place}/{_read_file(files, f'{place}/{CURRENT_FILE}')}"


def _read_file(files: FileSystem, path: str) -> str:
    with files.open_input_stream(path) as stream:
        return str(stream.read().decode())


@contextmanager
def _open_url(url: str) -> Iterator[tuple[FileSystem, str]]:
    """Yield the file system of a URL and the path in it; translate its errors into a ConfigError of one line."""
    try:
        files, base = FileSystem.from_uri(url)
        yield files, base.rstrip("/")
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these
        raise ConfigError(f"artifacts = {url!r} cannot be used: {str(error).splitlines()[0]}") from None
