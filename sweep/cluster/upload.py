"""Collect the files that a cluster job needs: our code and configs, and the user's own; nothing else.

Ray's own packing of a working directory is not used: it sends all but what is excluded, and only from one folder.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from eval.shipped_configs import CONFIGS, GROUPS
from sweep.errors import ConfigError

SOURCE_ROOT = Path(__file__).resolve().parents[2]
"""Folder of the packages: a checkout, or the site-packages of an installed wheel."""
PACKAGES = ("eval", "objectives", "sweep")
USER_CONFIGS_DIR = Path("own")
"""Folder of the user's configs in the job's working directory, where no shipped config has the same path."""
MAX_UPLOAD_MIB = 100
"""Largest upload that Ray accepts (ray._private.ray_constants.DASHBOARD_CLIENT_MAX_SIZE)."""


def job_path(file: Path) -> Path:
    """Return the path in the job's working directory of a config file of this machine."""
    whole, here = Path(os.path.abspath(file)), Path.cwd()
    if whole.is_relative_to(CONFIGS):
        return whole.relative_to(SOURCE_ROOT)
    return USER_CONFIGS_DIR / whole.relative_to(here if whole.is_relative_to(here) else whole.anchor)


def collect_files(configs: Collection[Path], objectives: Collection[str]) -> dict[Path, Path]:
    """Collect the files to send, keyed by their path in the job's working directory.

    Args:
        configs: the config files; all others of their folders and of the config groups there are sent too.
        objectives: names of objectives as in configurations; a package of the working directory is sent whole.
    """
    code = [*(SOURCE_ROOT / package for package in PACKAGES), CONFIGS]
    shipped = {file.relative_to(SOURCE_ROOT): file for folder in code for file in _walk_files(folder)}
    folders = [config.parent / group for config in configs for group in ("", *GROUPS)]
    own = {job_path(file): file for folder in folders for file in folder.glob("*.yaml")}
    tops = {name.split(".")[0] for name in objectives if "." in name}.difference(PACKAGES)
    return shipped | own | {file: file.absolute() for top in tops for file in _walk_files(Path(top))}


def check_size(files: Mapping[Path, Path]) -> str:
    """Return the size of the upload as text: number of files, and MiB.

    Raises:
        ConfigError: the upload is larger than Ray accepts; the message names the largest file.
    """
    sizes = {place: file.stat().st_size / 2**20 for place, file in files.items()}
    total = sum(sizes.values())
    if total > MAX_UPLOAD_MIB:
        largest = max(sizes, key=sizes.__getitem__)
        raise ConfigError(
            f"{total:.1f} MiB are too large for a job, which takes {MAX_UPLOAD_MIB} MiB:"
            f" the largest file is {largest} ({sizes[largest]:.1f} MiB)."
        )
    return f"{len(sizes)} files, {total:.1f} MiB"


def write_archive(files: Mapping[Path, Path], archive: Path) -> None:
    """Write the files to a zip archive, sorted by path."""
    with ZipFile(archive, "w", ZIP_DEFLATED, strict_timestamps=False) as packed:
        for place in sorted(files):
            packed.write(files[place], place)


def _walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files under the folder except hidden and compiled ones; nothing if there is no such folder."""
    for file in folder.rglob("*"):
        inside = file.relative_to(folder).parts
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in inside):
            yield file
