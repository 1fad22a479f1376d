"""Digests of local models by their content, so that other weights in the same folder are another model.

SHA-256, which processors compute twice as fast as BLAKE2. A large folder takes seconds, so that the digests of its
files are kept beside the artifacts, for as long as neither size nor times of a file change.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from eval.rows.types import DataError
from sweep.atomic_io import atomic_write

DIGESTS_FILE = "digests.json"
"""File with the digests of files, beside the artifacts."""
SETTLED_NS = 2 * 10**9
"""Age in nanoseconds below which a file may change again without another time: its digest is not kept."""
N_READERS = 8
"""Files that are read at once."""

_known: dict[str, str] = {}
"""Digests of this process, by `_stamp_file`."""


def digest_model(folder: Path, store: Path) -> str:
    """Return the digest of a model's folder: of the names and bytes of all files that loading it may read.

    That of an adapter depends on its base too, by the content of a folder or the commit on the hub.

    Args:
        folder: a folder of this machine.
        store: folder of the artifacts, in which the digests are kept if it exists.

    Raises:
        DataError: a file cannot be read, or an adapter's base cannot be had.
    """
    from eval.models.adapters import find_adapter
    from eval.models.checkpoint import DESCRIPTION_FILES, WEIGHT_FILES

    files = sorted({file for kind in (*DESCRIPTION_FILES, *WEIGHT_FILES) for file in folder.glob(kind)})
    try:
        stamps = {file: _stamp_file(file) for file in files}
        kept = _read_digests(store / DIGESTS_FILE) | _known
        new = [file for file in files if stamps[file] not in kept]
        with ThreadPoolExecutor(N_READERS) as pool:
            made = dict(zip((stamps[file] for file in new), pool.map(hash_file, new), strict=True))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    _keep_digests(made, store / DIGESTS_FILE)
    digests = kept | made
    listed = [[file.name, digests[stamps[file]]] for file in files]
    if (adapter := find_adapter(folder)) is not None:
        with adapter.name_base():
            base = Path(adapter.base)
            content = digest_model(base, store) if base.is_dir() else _find_commit(adapter.base, adapter.revision)
            listed.append(["base", content])
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


@cache
def _find_commit(base: str, revision: str | None) -> str:
    """Return the commit on the hub of an adapter's base, which is asked for once."""
    from eval.models.hub import resolve_commit

    return resolve_commit(base, "model", revision)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp_file(file: Path) -> str:
    """Return the path, size and times of a file, which are others once it has changed."""
    found = file.stat()
    return f"{file.resolve()} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _read_digests(file: Path) -> dict[str, str]:
    """Read the kept digests; none where there is no such file, or a damaged one."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _keep_digests(made: Mapping[str, str], file: Path) -> None:
    """Add digests to those of this process and of the file, if its folder exists and can be written."""
    now = time.time_ns()
    settled = {stamp: made[stamp] for stamp in made if now - int(stamp.rsplit(" ", 1)[1]) > SETTLED_NS}
    _known.update(settled)
    kept = _read_digests(file)
    if _known.keys() - kept.keys() and os.access(file.parent, os.W_OK):
        atomic_write(file, json.dumps(kept | _known, indent=1))
