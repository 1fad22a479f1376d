"""What a cluster job is sent of this machine: the code, the configs, and the user's own beside them; nothing else."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from eval.shipped_configs import CONFIGS
from sweep.config.messages import GROUPS
from sweep.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
"""Where the packages lie: a checkout, or the site-packages of an installed wheel."""
PACKAGES = ("eval", "objectives", "sweep")
OWN = Path("own")
"""Where the user's own configs lie in the job's working directory, so that no shipped one is in their way."""
LIMIT = 100 * 2**20
"""Bytes that Ray takes at most (ray._private.ray_constants.DASHBOARD_CLIENT_MAX_SIZE)."""


def place(file: Path) -> Path:
    """Where a config file of this machine lies in the job's working directory."""
    whole, here = Path(os.path.abspath(file)), Path.cwd()
    if whole.is_relative_to(CONFIGS):
        return whole.relative_to(ROOT)
    return OWN / whole.relative_to(here if whole.is_relative_to(here) else whole.anchor)


def gathered(configs: Collection[Path], objectives: Collection[str]) -> dict[Path, Path]:
    """The files to be sent, by where they lie in the job's working directory.

    Args:
        configs: the config files; others of their folders, and the groups there, go with them.
        objectives: as configurations name them; a package of the working directory is sent whole.
    """
    code = [ROOT / package for package in PACKAGES] + [CONFIGS, ROOT / "pyproject.toml"]
    shipped = {file.relative_to(ROOT): file for path in code for file in _files(path)}
    own = {place(file): file for config in configs for file in _beside(config)}
    tops = {Path(name.split(".")[0]) for name in objectives if "." in name} - {Path(package) for package in PACKAGES}
    return shipped | own | {file: file.absolute() for top in tops for file in _files(top)}


def check(files: Mapping[Path, Path]) -> str:
    """How much is sent, in words.

    Raises:
        ConfigError: it is more than Ray takes; the largest files are named.
    """
    sizes = {place: file.stat().st_size for place, file in files.items()}
    total = sum(sizes.values())
    if total <= LIMIT:
        return f"{len(sizes)} files, {_mib(total)}"
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    named = ", ".join(f"{place} ({_mib(sizes[place])})" for place in largest)
    raise ConfigError(f"{_mib(total)} are too large for a job, which takes {_mib(LIMIT)}: the largest are {named}.")


def pack(files: Mapping[Path, Path], archive: Path) -> None:
    """Write the files to a zip archive, always in the same order."""
    with ZipFile(archive, "w", ZIP_DEFLATED, strict_timestamps=False) as packed:
        for place in sorted(files):
            packed.write(files[place], place)


def _files(path: Path) -> Iterator[Path]:
    """The file, or all that are in the folder but hidden and compiled ones; nothing where there is neither."""
    if path.is_file():
        yield path
    for file in path.rglob("*"):
        inside = file.relative_to(path).parts
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in inside):
            yield file


def _beside(config: Path) -> Iterator[Path]:
    """The configs of a folder and of the groups in it, unless the folder is the shipped one."""
    if not Path(os.path.abspath(config)).is_relative_to(CONFIGS):
        for folder in (config.parent, *(config.parent / group for group in GROUPS)):
            yield from folder.glob("*.yaml")


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"
