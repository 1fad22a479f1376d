"""Folders addressed by the hash of their inputs: written beside, checksummed, renamed, locked against two writers."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

MANIFEST = "manifest.json"


def address(storage: Path, inputs: Mapping[str, object]) -> Path:
    """The folder for what is made from these inputs."""
    text = json.dumps(inputs, sort_keys=True, default=str)
    return storage / ".artifacts" / hashlib.sha256(text.encode()).hexdigest()[:16]


def whole(folder: Path) -> bool:
    """Whether the folder is there and every file's checksum is the manifest's."""
    manifest = folder / MANIFEST
    return manifest.is_file() and json.loads(manifest.read_text(encoding="utf-8")) == _checksums(folder)


@contextmanager
def made(folder: Path) -> Iterator[Path | None]:
    """Gives a folder beside to write into, which becomes `folder` at the end; None where `folder` is whole already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if whole(folder):
            yield None
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        (part / MANIFEST).write_text(json.dumps(_checksums(part)), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): _checksum(path) for path in files}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
