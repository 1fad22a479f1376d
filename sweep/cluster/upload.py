"""Collect the files that a cluster job needs: our code and configs, and the user's own; nothing else."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from eval.shipped_configs import CONFIGS
from sweep.config.messages import GROUPS
from sweep.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the packages: a checkout, or the site-packages of an installed wheel."""
PACKAGES = ("eval", "objectives", "sweep")
OWN = Path("own")
"""Folder of the user's configs in the job's working directory, where no shipped config has the same path."""
LIMIT = 100 * 2**20
"""Largest upload that Ray accepts (ray._private.ray_constants.DASHBOARD_CLIENT_MAX_SIZE)."""


def place(file: Path) -> Path:
    """Return the path in the job's working directory of a config file of this machine."""
    whole, here = Path(os.path.abspath(file)), Path.cwd()
    if whole.is_relative_to(CONFIGS):
        return whole.relative_to(ROOT)
    return OWN / whole.relative_to(here if whole.is_relative_to(here) else whole.anchor)


def gathered(configs: Collection[Path], objectives: Collection[str]) -> dict[Path, Path]:
    """Collect the files to send, keyed by their path in the job's working directory.

    Args:
        configs: the config files; all others of their folders and of the config groups there are sent too.
        objectives: names of objectives as in configurations; a package of the working directory is sent whole.
    """
    code = [ROOT / package for package in PACKAGES] + [CONFIGS, ROOT / "pyproject.toml"]
    shipped = {file.relative_to(ROOT): file for path in code for file in _files(path)}
    own = {place(file): file for config in configs for file in _beside(config)}
    tops = {Path(name.split(".")[0]) for name in objectives if "." in name} - {Path(package) for package in PACKAGES}
    return shipped | own | {file: file.absolute() for top in tops for file in _files(top)}


def check(files: Mapping[Path, Path]) -> str:
    """Return the size of the upload as text: number of files, and MiB.

    Raises:
        ConfigError: the upload is larger than Ray accepts; the message names the largest files.
    """
    sizes = {place: file.stat().st_size for place, file in files.items()}
    total = sum(sizes.values())
    if total <= LIMIT:
        return f"{len(sizes)} files, {_mib(total)}"
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    named = ", ".join(f"{place} ({_mib(sizes[place])})" for place in largest)
    raise ConfigError(f"{_mib(total)} are too large for a job, which takes {_mib(LIMIT)}: the largest are {named}.")


def pack(files: Mapping[Path, Path], archive: Path) -> None:
    """Write the files to a zip archive, sorted by path."""
    with ZipFile(archive, "w", ZIP_DEFLATED, strict_timestamps=False) as packed:
        for place in sorted(files):
            packed.write(files[place], place)


def _files(path: Path) -> Iterator[Path]:
    """Yield the file, or the files under the folder except hidden and compiled ones; nothing if the path is missing."""
    if path.is_file():
        yield path
    for file in path.rglob("*"):
        inside = file.relative_to(path).parts
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in inside):
            yield file


def _beside(config: Path) -> Iterator[Path]:
    """Yield the configs beside a config and in the config groups there, unless it is one of the shipped configs."""
    if not Path(os.path.abspath(config)).is_relative_to(CONFIGS):
        for folder in (config.parent, *(config.parent / group for group in GROUPS)):
            yield from folder.glob("*.yaml")


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"
